// Certificates and keys for TLS, read once: what is wrong with them is said before anything is sent.
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import type { SecureContext } from 'node:tls';
import { ExportError, systemErrorCode } from '../export-error.js';

export interface TlsOptions {
  /** Certificates (PEM) of the authorities that may have signed the collector's; else Node's own list. */
  readonly caFile?: string | undefined;
  /** The exporter's own certificate (PEM), with those between it and its authority. */
  readonly certFile?: string | undefined;
  /** Its private key (PEM, without a passphrase). */
  readonly keyFile?: string | undefined;
  /** The name that the collector's certificate must have, instead of the host. */
  readonly serverName?: string | undefined;
  /** Default true. False: whoever answers is taken for the collector. */
  readonly isVerified?: boolean | undefined;
}

/** @throws ExportError `bad-option` */
export function readCredentials({ caFile, certFile, keyFile }: TlsOptions): SecureContext {
  if ((certFile === undefined) !== (keyFile === undefined)) {
    const reason = 'a certificate needs its key, and a key its certificate';
    throw new ExportError('bad-option', 'set the TLS certificate', reason);
  }
  const ca = readCertificates('CA certificates', caFile);
  const cert = readCertificates('certificate', certFile);
  const key = readPem('private key', keyFile);
  try {
    // RFC 7011 §11.1 asks for TLS; versions below 1.2 are no longer safe (RFC 8996).
    return createSecureContext({ minVersion: 'TLSv1.2', ca, cert, key });
  } catch (error) {
    const operation = `use the certificate ${certFile} with the private key ${keyFile}`;
    throw new ExportError('bad-option', operation, opensslReason(error), error);
  }
}

/** Node takes CA files without a certificate in them silently. */
function readCertificates(what: string, file: string | undefined): Buffer | undefined {
  const pem = readPem(what, file);
  if (pem === undefined) return undefined;
  try {
    new X509Certificate(pem);
    return pem;
  } catch (error) {
    const reason = `no certificate in PEM form in it (${opensslReason(error)})`;
    throw new ExportError('bad-option', `read the ${what} in ${file}`, reason, error);
  }
}

function readPem(what: string, file: string | undefined): Buffer | undefined {
  if (file === undefined) return undefined;
  try {
    return readFileSync(file);
  } catch (error) {
    const operation = `read the ${what} in ${file}`;
    throw new ExportError('bad-option', operation, systemErrorCode(error), error);
  }
}

/** "error:0B080074:x509 routines::key values mismatch": the last part is for people. */
function opensslReason(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.split(':').at(-1)?.trim() ?? text;
}
