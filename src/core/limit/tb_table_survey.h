
/*
 * What a new key finds in the slots that it can be in.
 */


#ifndef TB_TABLE_SURVEY_H
#define TB_TABLE_SURVEY_H


#include "src/core/limit/tb_table.h"


/* a group with so many owners is crowded: the emptier one is taken */
#define TB_GROUP_CROWDED  12


/* What a new key finds in its two groups. */

typedef struct {
    tb_slot_t        *hole;        /* an empty slot; NULL: none */
    tb_slot_t        *fullest;     /* to displace, or a former owner's
                                      tokens; NULL: all are registered */
    tb_word_t         word;        /* of the fullest, as read */
    int64_t           tokens;      /* of the fullest at now, µtok */
} tb_reach_t;


/* Lock-free; what it reports is of some instants during the call. */

void tb_table_survey(tb_table_t *t, const tb_hash_t *h, uint64_t now,
    tb_limits_t dflt, tb_reach_t *reach);


#endif /* TB_TABLE_SURVEY_H */
