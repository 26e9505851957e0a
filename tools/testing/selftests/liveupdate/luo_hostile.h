/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Records that a hostile or broken kernel has left: found in /dev/mem from the
 * root on, and changed one word here and there as a seed says.
 */
#ifndef LUO_HOSTILE_H
#define LUO_HOSTILE_H

#include "../kselftest.h"
#include "luo_test.h"

/* A sequence of numbers that is the same for a seed in each run. */
struct hostile_dice {
	__u64 state;
};

__u64 hostile_roll(struct hostile_dice *dice);
unsigned int hostile_pick(struct hostile_dice *dice, unsigned int sides);

/* Session of a seed; @name has room for LIVEUPDATE_SESSION_NAME_LENGTH. */
#define HOSTILE_PREFIX	"hostile-"

/* Empty sessions that come behind all others, which may be lost. */
#define HOSTILE_TAIL	HOSTILE_PREFIX "tail-"

void hostile_name(char *name, unsigned int seed);

/*
 * Read what the kernel before has left, before this one has. Returns how many
 * sessions there are, or -errno.
 */
int hostile_read_records(void);

/* Words are anything; or name memory of other sessions of seeds; of whole ones. */
enum hostile_way {
	HOSTILE_ANY,
	HOSTILE_STEAL,
	HOSTILE_COVET,
};

/*
 * Change the records of a session, and say how if @verbose. Returns how many words,
 * 0 if there is no such session.
 */
int hostile_damage_session(unsigned int seed, enum hostile_way way, bool verbose);

/*
 * Change heads of the list of sessions where no session of a seed and no whole one
 * is behind, and the page of FLBs, and say how. Returns how many words.
 */
int hostile_damage_lists(unsigned int seed, enum hostile_way way);

/* Say how many words of each kind there are to be changed. */
void hostile_print_classes(void);

/* Change the map of preserved memory, the tree, or a blob, for the next kernel. */
int hostile_damage_map(unsigned int seed);

#endif /* LUO_HOSTILE_H */
