// What procflow's start is compared with: a process that only says that it runs.
process.stdout.write('running\n');
