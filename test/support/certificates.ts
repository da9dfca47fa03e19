// An authority of a test's own, and certificates that it signed: by the openssl program.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Teardown } from './program.js';

export interface CertificateFiles {
  readonly certFile: string;
  readonly keyFile: string;
}

export class Authority {
  readonly directory: string;
  readonly caFile: string;
  readonly #caKeyFile: string;

  constructor(t: Teardown) {
    this.directory = mkdtempSync(join(tmpdir(), 'procflow-certificates-'));
    t.teardown(() => {
      rmSync(this.directory, { recursive: true });
    });
    this.caFile = join(this.directory, 'ca.pem');
    this.#caKeyFile = join(this.directory, 'ca.key');
    const subject = ['-subj', '/CN=authority of a test', '-days', '2'];
    openssl(
      'req',
      '-x509',
      ...NEW_KEY,
      '-keyout',
      this.#caKeyFile,
      '-out',
      this.caFile,
      ...subject,
    );
  }

  /** @param alternativeName as openssl writes it: "DNS:localhost,IP:127.0.0.1" */
  sign(name: string, alternativeName: string): CertificateFiles {
    const certFile = join(this.directory, `${name}.pem`);
    const keyFile = join(this.directory, `${name}.key`);
    const by = ['-CA', this.caFile, '-CAkey', this.#caKeyFile, '-days', '2'];
    const subject = ['-subj', `/CN=${name}`, '-addext', `subjectAltName=${alternativeName}`];
    openssl('req', '-x509', ...NEW_KEY, '-keyout', keyFile, '-out', certFile, ...by, ...subject);
    return { certFile, keyFile };
  }
}

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

function openssl(...args: readonly string[]): void {
  execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}
