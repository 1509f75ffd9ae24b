
/*
 * The survey of two groups that a new key needs.
 */


#include "src/core/limit/tb_table_survey.h"
#include "src/core/limit/tb_slot.h"
#include "src/core/limit/tb_table_epoch.h"


void
tb_table_survey(tb_table_t *t, const tb_hash_t *h, uint64_t now,
    tb_limits_t dflt, tb_reach_t *reach)
{
    int64_t       full, tokens;
    uint32_t      i, n, owned, least;
    uint64_t      tag;
    tb_slot_t    *group, *hole, *slot;
    tb_word_t     word;
    tb_limits_t   limits, own;

    reach->hole = NULL;
    reach->fullest = NULL;
    reach->tokens = 0;
    reach->word = 0;

    least = TB_GROUP_SLOTS;
    full = (int64_t) tb_limits_room(dflt);

    for (n = 0; n < 2; n++) {
        group = tb_table_group_slots(t, h, n);
        hole = NULL;
        owned = 0;

        for (i = 0; i < TB_GROUP_SLOTS; i++) {
            slot = tb_group_slot(group, h, i);

            tag = atomic_load_explicit(&slot->tag, memory_order_acquire);
            word = tb_slot_word(t, slot, &now, dflt);
            limits = atomic_load_explicit(&slot->limits,
                                          memory_order_acquire);

            if (tb_slot_is_empty(tag, word, limits)) {
                hole = hole ? hole : slot;
                continue;
            }

            owned++;

            if (tag != 0 && (tb_word_is_vacant(word)
                             || (limits & TB_LIMITS_REGISTERED)))
            {
                continue;
            }

            own = tag ? tb_table_limits(t, limits, dflt) : dflt;
            tokens = tb_slot_left_over(word, limits, now, own);
            tokens = tb_limits_convert(own, dflt, tokens);

            /* places in use are its owner's, who gives them back */

            if ((dflt & TB_LIMITS_LEASED)
                ? tb_limits_are_places(dflt) && !tb_word_is_vacant(word)
                  && tb_places_used(word) > 0
                : (dflt & TB_LIMITS_PLACES) && tokens < full)
            {
                continue;
            }

            if (reach->fullest == NULL || tokens > reach->tokens) {
                reach->fullest = slot;
                reach->tokens = tokens;
                reach->word = tb_word_is_vacant(word) ? tb_word(tokens, now)
                                                      : word;
            }
        }

        if (hole != NULL && owned < least) {
            reach->hole = hole;
            least = owned;
        }

        if (n == 0 && owned < TB_GROUP_CROWDED && hole != NULL) {
            return;
        }
    }
}
