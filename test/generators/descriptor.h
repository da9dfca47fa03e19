/* SPDX-License-Identifier: Apache-2.0 */
/* Handing descriptors on: over a Unix socket, and over exec. */
#ifndef PROCFLOW_DESCRIPTOR_H
#define PROCFLOW_DESCRIPTOR_H

#include "generator.h"

union descriptor_message {
	char bytes[CMSG_SPACE(sizeof(int))];
	struct cmsghdr alignment;
};

static inline void pass_descriptor(int unix_fd, int fd)
{
	union descriptor_message control = {0};
	struct iovec payload = {"", 1};
	struct msghdr message = {.msg_iov = &payload,
				 .msg_iovlen = 1,
				 .msg_control = control.bytes,
				 .msg_controllen = sizeof(control.bytes)};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	if (sendmsg(unix_fd, &message, 0) != 1)
		fail("sendmsg with SCM_RIGHTS");
}

static inline int receive_descriptor(int unix_fd)
{
	union descriptor_message control = {0};
	char byte;
	struct iovec payload = {&byte, 1};
	struct msghdr message = {.msg_iov = &payload,
				 .msg_iovlen = 1,
				 .msg_control = control.bytes,
				 .msg_controllen = sizeof(control.bytes)};
	int fd;

	if (recvmsg(unix_fd, &message, 0) != 1 || !CMSG_FIRSTHDR(&message))
		fail("recvmsg with SCM_RIGHTS");
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
	return fd;
}

static inline int peer_port(int socket_fd)
{
	union endpoint peer = {0};
	socklen_t length = sizeof(peer);

	if (getpeername(socket_fd, &peer.any, &length) != 0)
		fail("getpeername");
	return endpoint_port(&peer);
}

/* Becomes another program: `option` and the descriptor are appended to its arguments. */
static inline void become(char **command, const char *option, int fd)
{
	char *arguments[64] = {0}, number_text[16];
	int count = 0;

	while (command[count] && count < 60) {
		arguments[count] = command[count];
		count++;
	}
	snprintf(number_text, sizeof(number_text), "%d", fd);
	arguments[count] = (char *)option;
	arguments[count + 1] = number_text;
	execv(arguments[0], arguments);
	fail(arguments[0]);
}

#endif
