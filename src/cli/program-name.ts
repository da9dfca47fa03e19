// Under which name the program was started: as itself, or by a link in the place of softflowd or
// softflowctl, whose defaults then hold.
import { basename } from 'node:path';

export type ProgramName = 'procflow' | 'softflowd' | 'softflowctl';

/** What `export` takes for granted. */
export interface ExportDefaults {
  readonly version: string;
  readonly maxFlows: string;
  /** As -t has them. */
  readonly timeouts: readonly string[];
  readonly isSoftflowd: boolean;
  /** Of the control socket; undefined: none. */
  readonly control?: string;
  /** Of the pid file, in the background; undefined: none. */
  readonly pidFile?: string;
}

export const SOFTFLOWD_CONTROL = '/var/run/softflowd.ctl';

export const EXPORT_DEFAULTS: ExportDefaults = {
  version: '9',
  maxFlows: '65536',
  timeouts: [],
  isSoftflowd: false,
};

/** As `softflowd -h` has them. */
export const SOFTFLOWD_DEFAULTS: ExportDefaults = {
  version: '5',
  maxFlows: '8192',
  timeouts: [
    ...['tcp=3600', 'tcp.rst=120', 'tcp.fin=300', 'udp=300', 'icmp=300', 'general=3600'],
    ...['maxlife=604800', 'expint=60'],
  ],
  isSoftflowd: true,
  control: SOFTFLOWD_CONTROL,
  pidFile: '/var/run/softflowd.pid',
};

/** @param path argv[1]: the link, where it is one */
export function programName(path: string | undefined): ProgramName {
  const name = basename(path ?? '');
  return name === 'softflowd' || name === 'softflowctl' ? name : 'procflow';
}
