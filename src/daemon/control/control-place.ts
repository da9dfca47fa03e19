// Joins the control socket, which is there from the start to the end, to the session, which is not.
import type { ProcessUser } from '../user-config.js';
import { openControlSocket, type ControlSocket } from './control-socket.js';
import type { MeterControl } from './meter-control.js';

/** Where the session is found while there is one. */
export interface ControlPlace {
  control?: MeterControl;
}

/** The words of questions and answers. */
export interface ControlProtocol {
  readonly answer: (control: MeterControl, request: string) => AsyncIterable<string>;
  readonly errorText: (reason: string) => string;
}

interface ControlOptions {
  readonly path: string;
  readonly protocol: ControlProtocol;
  /** Who may ask besides root, and has the file; default: the user of this process. */
  readonly owner?: ProcessUser | undefined;
  readonly onNotice: (line: string) => void;
}

/** @throws ConfigError when the path cannot be had */
export function openControl(
  place: ControlPlace,
  { path, protocol, owner, onNotice }: ControlOptions,
): Promise<ControlSocket> {
  const { answer, errorText } = protocol;
  return openControlSocket({
    path,
    owner,
    answer: (request) => {
      if (place.control === undefined) {
        throw new Error('nothing is metered yet, or any more: ask again, or see the log');
      }
      return answer(place.control, request);
    },
    errorText,
    onNotice,
  });
}
