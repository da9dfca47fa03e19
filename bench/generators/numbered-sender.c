// SPDX-License-Identifier: Apache-2.0
/*
 * Sends numbered datagrams at a steady pace: the destination port of each is its number. Told a
 * number, on standard input, it ends and says when it sent that one.
 */
#include "../../test/generators/generator.h"
#include <poll.h>

#define MAX_NUMBER 65535

static const char usage_text[] = "numbered-sender --to ADDRESS --rate N";

static long long now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static bool is_told(void)
{
	struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};

	return poll(&input, 1, 0) > 0;
}

static long told_number(void)
{
	char line[32] = "";

	if (!fgets(line, sizeof(line), stdin))
		return 0;
	line[strcspn(line, "\n")] = '\0';
	return number(line);
}

int main(int argc, char **argv)
{
	static long long sent_ns[MAX_NUMBER + 1];
	const char *address = NULL;
	long rate = 0, asked, last = 0;
	const struct argument known[] = {
		{"to", .text = &address},
		{"rate", .number = &rate},
		{0},
	};
	struct timespec tick;
	int socket_fd;

	parse_arguments(argc, argv, known, usage_text);
	if (!address || rate < 1 || rate > 1000000)
		usage(usage_text);
	socket_fd = open_socket(endpoint(address, 0).any.sa_family, SOCK_DGRAM, 0);
	report("sending", "");
	clock_gettime(CLOCK_MONOTONIC, &tick);
	while (last < MAX_NUMBER && !is_told()) {
		union endpoint peer = endpoint(address, ++last);

		sent_ns[last] = now_ns();
		if (sendto(socket_fd, "", 1, 0, &peer.any, endpoint_length(&peer)) != 1)
			fail("sendto");
		tick.tv_nsec += 1000000000L / rate;
		tick.tv_sec += tick.tv_nsec / 1000000000L;
		tick.tv_nsec %= 1000000000L;
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &tick, NULL);
	}
	asked = told_number();
	if (asked < 1 || asked > last) {
		fprintf(stderr, "%ld was not sent: the last one is %ld\n", asked, last);
		return 1;
	}
	report("sent", ",\"number\":%ld,\"sent_ns\":%lld", asked, sent_ns[asked]);
	return 0;
}
