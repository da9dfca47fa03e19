// How long something took of the processor: on a busy machine the clock tells how busy it is.

/** Of this process, in milliseconds. */
export function cpuTimeMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}
