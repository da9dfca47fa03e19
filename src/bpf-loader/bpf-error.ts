// What goes wrong between the daemon and the kernel, said so that a user can act on it.

export class BpfError extends Error {
  /** errno's name (EPERM), or a name of ours: LIBBPF_MISSING, CONTRACT_MISMATCH. */
  readonly code: string;
  /** What was tried, on what: "attach flow_egress to eth0". */
  readonly operation: string;
  /** The verifier's log, where there is one. Long: for --debug only. */
  readonly verifierLog: string | undefined;

  constructor(code: string, operation: string, advice: string, verifierLog?: string) {
    super(`${operation}: ${code}${advice === '' ? '' : ` (${advice})`}`);
    this.name = 'BpfError';
    this.code = code;
    this.operation = operation;
    this.verifierLog = verifierLog;
  }
}
