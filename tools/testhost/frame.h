/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the agent in the test host says to the supervisor outside.
 *
 * The channel is the debug port 0xe9 that both emulators copy to a file
 * descriptor byte by byte: no baud rate, no driver, no buffer to drain.  It
 * starts with FRAME_HELLO; what an emulator or its firmware printed before
 * that is no frame.  Then come frames: a type, a little-endian 16-bit length,
 * the payload.
 */
#ifndef TESTHOST_FRAME_H
#define TESTHOST_FRAME_H

#define FRAME_PORT 0xe9
#define FRAME_HELLO "\001\002testhost-agent\002\001"
#define FRAME_MAX 4096

enum frame_type {
	FRAME_STDOUT = 'O', /* bytes of the command's standard output */
	FRAME_STDERR = 'E', /* bytes of the command's standard error */
	FRAME_KERNEL = 'K', /* a line of the host's kernel log */
	FRAME_FAILURE = 'F', /* a sentence: why the run failed in spite of the command */
	FRAME_STATUS = 'X', /* the command's exit status, one byte */
	FRAME_END = 'Q', /* nothing follows: the emulator can be switched off */
};

#endif
