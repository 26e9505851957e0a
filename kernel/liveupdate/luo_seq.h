/* SPDX-License-Identifier: GPL-2.0-only */
/* Trees in order of birth: append at the end, look up the next one. */
#ifndef _LUO_SEQ_H
#define _LUO_SEQ_H

#include <linux/rbtree.h>

/* @node must sort behind @last, which is the last of the tree, if any is. */
static inline void luo_seq_append(struct rb_root *root, struct rb_node *last,
				  struct rb_node *node)
{
	rb_link_node(node, last, last ? &last->rb_right : &root->rb_node);
	rb_insert_color(node, root);
}

/* The first node that does not sort before @key, or NULL. */
static inline struct rb_node *
luo_seq_find(struct rb_root *root, const void *key,
	     int (*cmp)(const void *key, const struct rb_node *node))
{
	struct rb_node *node = root->rb_node;
	struct rb_node *found = NULL;

	while (node) {
		if (cmp(key, node) <= 0) {
			found = node;
			node = node->rb_left;
		} else {
			node = node->rb_right;
		}
	}
	return found;
}

#endif /* _LUO_SEQ_H */
