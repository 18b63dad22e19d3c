/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Guests that wait for events. Each vCPU has in its struct apic_cpu
 *
 * mail		when the event was sent that it waits for, by its own TSC
 * count	how many it has taken; its handler writes down how late each one was
 * stop		how many others have seen of what it has sent
 *
 * and in registers: RDI where its handler's samples go, R9 how many events, R10 and R11
 * the program's operands. RBX is the number of the event, from 1 on.
 */
#ifndef BENCH_EVENTS_H
#define BENCH_EVENTS_H

#include "client.h"

#define EVENT_VECTOR 0x50
#define EVENT_HANDLER 0x2c000
#define EVENT_SAMPLES 0x110000 /* of vCPU 0; there is memory for 10^5 */
#define EVENT_SAMPLES_1 0x190000
#define EVENT_MAX 100000
#define EVENT_KICK (16UL << 20) /* no memory is there */
#define EVENT_AREA (18UL << 20)
#define EVENT_END "out %al, $0x10\n"

/* How many instructions, with the jump to it. */
#define EVENT_HANDLER_LENGTH 13

GUEST_ASM(event_handler, 64,
	  "rdtsc\n shl $32, %rdx\n or %rdx, %rax\n sub %gs:24, %rax\n"
	  "mov %eax, (%rdi)\n add $4, %rdi\n incq %gs:0\n"
	  "mov $0x80b, %ecx\n xor %eax, %eax\n xor %edx, %edx\n wrmsr\n iretq\n");

#define EVENT_NOW "rdtsc\n shl $32, %rdx\n or %rdx, %rax\n"
#define EVENT_LOOP(send, wait) "1: inc %rbx\n" send wait "dec %r9d\n jnz 1b\n" EVENT_END
/* Until RBX interrupts have been taken: with interrupts on, or halted. */
#define EVENT_SPIN "sti\n 2: cmp %rbx, %gs:0\n jb 2b\n cli\n"
#define EVENT_HALT "2: cli\n cmp %rbx, %gs:0\n jae 3f\n sti\n hlt\n jmp 2b\n 3:\n"
/* Until user space says that it has seen them; or the vCPU whose mail is at R11 has. */
#define EVENT_ACK "2: pause\n cmp %rbx, %gs:32\n jb 2b\n"
#define EVENT_SEEN "2: pause\n cmp %rbx, -24(%r11)\n jb 2b\n"
/* The deadline is R10 from now; it is the time from which the handler counts. */
#define EVENT_ARM                                                        \
	EVENT_NOW "add %r10, %rax\n mov %rax, %gs:24\n mov %rax, %rdx\n" \
		  "shr $32, %rdx\n mov $0x6e0, %ecx\n wrmsr\n"
/* The ICR gets R10, the receiver's mail is at R11. */
#define EVENT_IPI                                                        \
	EVENT_NOW "mov %rax, (%r11)\n mov %r10, %rax\n mov %r10, %rdx\n" \
		  "shr $32, %rdx\n mov $0x830, %ecx\n wrmsr\n"
/* A store to R10, which is a kick. */
#define EVENT_STORE EVENT_NOW "mov %rax, %gs:24\n movw $0, (%r10)\n"

/* 64-bit mode, x2APIC, and the handler above for EVENT_VECTOR; -1 with errno if not. */
int events_create(struct irq_vm *vm, unsigned int cpus);
/* One vCPU that is alone on its CPU: dedicated, and with an area, where there is that. */
int events_create_alone(struct irq_vm *vm);
void events_destroy_alone(struct irq_vm *vm);
/* About to run a program, with @events events to come. */
void events_load(struct irq_vm *vm, unsigned int cpu, const uint8_t *code, const uint8_t *end,
		 uint64_t r10, uint64_t r11, unsigned int events);
/* To its end. */
void events_run(struct irq_vm *vm, unsigned int cpu);
/* The same by a thread of its own, on that CPU of the host; or on any, if it is -1. */
pthread_t events_spawn(struct irq_vm *vm, unsigned int cpu, int on);
/* Interrupts vCPU 0 by that eventfd, bench.events times, each when it has taken the one before. */
void events_call(struct irq_vm *vm, int call, int64_t offset);
void events_pin(int on);
/* The vCPU's TSC is the host's and that. */
int64_t events_tsc_offset(const struct irq_vm *vm, unsigned int cpu);

#define EVENTS_PROGRAM(program) program, program##_end

#endif
