/* SPDX-License-Identifier: GPL-2.0-only */
/* A stand-in for tests, which have no tracepoints. */
