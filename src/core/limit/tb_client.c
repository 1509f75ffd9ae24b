
/*
 * The members of a client, which of them a text may have, and how they are
 * printed.
 */


#include <stdio.h>
#include <string.h>

#include "src/core/limit/tb_client.h"
#include "src/core/limit/tb_text.h"


static void tb_client_units_init(tb_client_forms_t *forms);
static int tb_client_fits(gw_record_t *reader);
static int tb_client_fits_shown(gw_record_t *reader);
static int tb_client_fits_change(gw_record_t *reader);
static int tb_client_check_plan(gw_record_t *reader);
static int tb_client_check_change(gw_record_t *reader);
static int tb_client_lacks(gw_record_t *reader, unsigned missing);
static size_t tb_client_print_signed(char *buf, uint64_t tokens);
static char *tb_client_print_plan(char *p, const tb_client_t *c);


#define TB_CLIENT_ROW_CAPACITY  2
#define TB_CLIENT_ROW_RATE      3
#define TB_CLIENT_ROW_QUOTA     4
#define TB_CLIENT_ROW_TOKENS    9

/* what is shown only */
#define TB_CLIENT_SHOWN                                                       \
    (TB_CLIENT_TOKENS | TB_CLIENT_USED | TB_CLIENT_REGISTERED)


static const gw_member_t  tb_client_members[TB_CLIENT_ROWS] = {

    { .name = "client_id", .bit = TB_CLIENT_ID, .kind = GW_MEMBER_ID,
      gw_member_string(tb_client_t, id, id_len),
      .allowed = "a string of 1 to 255 bytes",
      .absent = "the client is named outside of the body" },

    { .name = "plan", .bit = TB_CLIENT_PLAN, .kind = GW_MEMBER_TEXT,
      gw_member_string(tb_client_t, plan, plan_len),
      .allowed = "a string of " TB_PLAN_NAME_ALLOWED },

    { .name = "capacity", .bit = TB_CLIENT_CAPACITY,
      gw_member_field(tb_client_t, capacity),
      .min = 1, .max = TB_CAPACITY_MAX },

    { .name = "rate_per_sec", .bit = TB_CLIENT_RATE,
      .kind = GW_MEMBER_NEAREST, gw_member_field(tb_client_t, rate),
      .scale = TB_STEPS_A_SECOND, .min = TB_RATE_MIN, .max = TB_RATE_MAX,
      .print = tb_client_print_rate,
      .allowed = "a number from 0.0000115741 (one a day) to 1000000" },

    { .name = "quota", .bit = TB_CLIENT_QUOTA,
      gw_member_field(tb_client_t, quota),
      .min = 1, .max = TB_CAPACITY_MAX },

    { .name = "inflight", .bit = TB_CLIENT_INFLIGHT,
      gw_member_field(tb_client_t, inflight),
      .min = 1, .max = TB_CAPACITY_MAX },

    { .name = "used", .bit = TB_CLIENT_USED,
      gw_member_field(tb_client_t, used), .max = TB_CAPACITY_MAX },

    { .name = "blocked", .bit = TB_CLIENT_BLOCKED,
      .kind = GW_MEMBER_FLAG, gw_member_field(tb_client_t, blocked) },

    { .name = "unlimited", .bit = TB_CLIENT_UNLIMITED,
      .kind = GW_MEMBER_FLAG, gw_member_field(tb_client_t, unlimited) },

    { .name = "tokens", .bit = TB_CLIENT_TOKENS, .kind = GW_MEMBER_FLOOR,
      gw_member_field(tb_client_t, tokens),
      .scale = TB_TOKEN, .max = TB_CAPACITY_MAX * TB_TOKEN,
      .print = tb_client_print_signed,
      .allowed = "a number from 0 to the capacity, at most 1000000" },

    { .name = "at", .bit = TB_CLIENT_AT, gw_member_field(tb_client_t, at),
      .max = TB_CLIENT_AT_MAX },

    { .name = "registered", .bit = TB_CLIENT_REGISTERED,
      .kind = GW_MEMBER_FLAG, gw_member_field(tb_client_t, registered) },

    { .name = NULL }
};


void
tb_client_forms_init(tb_client_forms_t *forms, tb_kind_e kind, uint32_t unit)
{
    unsigned                 given, tokens;
    const gw_record_form_t  *client, *plan;

    static const unsigned  limits[] = {
        TB_CLIENT_CAPACITY | TB_CLIENT_RATE, TB_CLIENT_QUOTA, TB_CLIENT_INFLIGHT
    };

    const gw_record_form_t  form = {
        .table = forms->members, .size = sizeof(tb_client_t),
        .check = tb_client_fits
    };

    forms->kind = kind;
    forms->unit = unit;
    forms->limits = limits[kind];

    memcpy(forms->members, tb_client_members, sizeof(tb_client_members));

    if (unit > 1) {
        tb_client_units_init(forms);
    }

    memcpy(forms->states, forms->members, sizeof(forms->members));
    forms->states[TB_CLIENT_ROW_TOKENS].debt = (uint64_t) TB_DEBT_MAX;

    if (kind == TB_KIND_QUOTA) {

        /* one that was lowered may have been used to that extent; and it is
           told in single units, so that another unit does not matter */

        forms->states[TB_CLIENT_ROW_TOKENS].debt += TB_COST_MAX;
        forms->states[TB_CLIENT_ROW_QUOTA].unit = 1;
        forms->states[TB_CLIENT_ROW_QUOTA].max *= TB_UNIT_MAX;
    }

    given = forms->limits | TB_CLIENT_PLAN | TB_CLIENT_BLOCKED
            | TB_CLIENT_UNLIMITED;

    /* places are taken and given back by requests, and by nobody else */

    tokens = (kind == TB_KIND_INFLIGHT) ? 0 : TB_CLIENT_TOKENS;

    client = &forms->value;
    forms->value = form;
    forms->value.accept = given;

    forms->create = *client;
    forms->create.accept |= TB_CLIENT_ID;
    forms->create.require = TB_CLIENT_ID;

    forms->bulk = forms->create;
    forms->bulk.array = true;

    forms->replace = *client;
    forms->replace.accept |= TB_CLIENT_ID;
    forms->replace.ignore = TB_CLIENT_SHOWN;
    forms->replace.check = tb_client_fits_shown;

    forms->change = *client;
    forms->change.accept |= tokens;
    forms->change.some = true;
    forms->change.check = tb_client_fits_change;

    forms->state = form;
    forms->state.table = forms->states;
    forms->state.accept = TB_CLIENT_TOKENS | TB_CLIENT_AT
                          | (forms->limits & TB_CLIENT_QUOTA);
    forms->state.require = forms->state.accept;
    forms->state.accept |= TB_CLIENT_PLAN;
    forms->state.check = NULL;

    plan = &forms->plan_value;
    forms->plan_value = form;
    forms->plan_value.accept = forms->limits;
    forms->plan_value.require = forms->limits;
    forms->plan_value.check = NULL;

    forms->plan = *plan;
    forms->plan.accept |= TB_CLIENT_PLAN;
    forms->plan.check = tb_client_check_plan;

    forms->plan_change = *plan;
    forms->plan_change.require = 0;
    forms->plan_change.some = true;
}


/* What the members that are counted in units may be, in single ones. */

static void
tb_client_units_init(tb_client_forms_t *forms)
{
    char          least[GW_NUMBER_SIZE], most[GW_NUMBER_SIZE];
    gw_member_t  *m;

    forms->members[TB_CLIENT_ROW_CAPACITY].unit = forms->unit;
    forms->members[TB_CLIENT_ROW_QUOTA].unit = forms->unit;

    m = &forms->members[TB_CLIENT_ROW_RATE];
    m->unit = forms->unit;
    m->min = 1;
    m->allowed = forms->rates;

    (void) tb_client_print_rate(least, m->min * m->unit);
    (void) tb_client_print_rate(most, m->max * m->unit);
    (void) snprintf(forms->rates, sizeof(forms->rates),
                    "a number from %s to %s", least, most);

    m = &forms->members[TB_CLIENT_ROW_TOKENS];
    m->unit = forms->unit;
    m->allowed = forms->tokens;

    (void) snprintf(forms->tokens, sizeof(forms->tokens),
                    "a number from 0 to the capacity, at most %llu",
                    (unsigned long long) TB_CAPACITY_MAX * forms->unit);
}


bool
tb_plan_is_name(const char *text, size_t len)
{
    size_t  i;

    for (i = 0; i < len; i++) {
        if (text[i] <= ' ' || text[i] > '~') {
            return false;
        }
    }

    return len >= 1 && len <= TB_PLAN_NAME_MAX;
}


int
tb_client_check_tokens(int64_t tokens, uint32_t capacity, uint32_t unit,
    char *buf, size_t size)
{
    char  number[GW_NUMBER_SIZE];

    if (tokens <= (int64_t) (capacity * TB_TOKEN)) {
        return 0;
    }

    (void) tb_client_print_tokens(number, tb_unit_tokens(tokens, unit));
    (void) snprintf(buf, size, "tokens is %s, must be a number from 0 to the "
                    "capacity, here %llu", number,
                    (unsigned long long) capacity * unit);

    return -1;
}


/* A client as it is made: it needs all limits, or something else. */

static int
tb_client_fits(gw_record_t *reader)
{
    unsigned            limits, missing;
    const tb_client_t  *c;

    c = reader->record;
    limits = reader->form->accept & TB_CLIENT_LIMITS;
    missing = limits & ~c->members;

    if (tb_client_check_change(reader) != 0) {
        return -1;
    }

    if (missing == 0
        || (missing == limits
            && (c->members & (TB_CLIENT_PLAN | TB_CLIENT_BLOCKED
                              | TB_CLIENT_UNLIMITED))))
    {
        return 0;
    }

    return tb_client_lacks(reader, missing);
}


/* The same, as it was shown: with the limits of its plan. */

static int
tb_client_fits_shown(gw_record_t *reader)
{
    tb_client_t  *c;

    c = reader->record;

    if (c->members & TB_CLIENT_PLAN) {
        c->members &= ~TB_CLIENT_LIMITS;
    }

    return tb_client_fits(reader);
}


static int
tb_client_fits_change(gw_record_t *reader)
{
    char                text[GW_JSON_ERROR_SIZE];
    uint32_t            capacity, unit;
    const tb_client_t  *c;

    c = reader->record;
    capacity = (c->members & TB_CLIENT_CAPACITY) ? c->capacity
               : (c->members & TB_CLIENT_QUOTA) ? c->quota : TB_CAPACITY_MAX;
    unit = (uint32_t) reader->form->table[TB_CLIENT_ROW_TOKENS].unit;

    if ((c->members & TB_CLIENT_TOKENS)
        && tb_client_check_tokens(c->tokens, capacity, unit ? unit : 1, text,
                                  sizeof(text)) != 0)
    {
        gw_record_fail(reader, "%s", text);
        return -1;
    }

    return tb_client_check_change(reader);
}


/* The plan's name, and that limits do not go with it. */

static int
tb_client_check_change(gw_record_t *reader)
{
    const tb_client_t  *c;
    const gw_member_t  *m;

    c = reader->record;

    if (tb_client_check_plan(reader) != 0) {
        return -1;
    }

    if (!(c->members & TB_CLIENT_PLAN) || !(c->members & TB_CLIENT_LIMITS)) {
        return 0;
    }

    for (m = reader->form->table; !(m->bit & c->members & TB_CLIENT_LIMITS);
         m++)
    {
        /* void */
    }

    gw_record_fail(reader, "%s does not go with plan, which has it", m->name);

    return -1;
}


static int
tb_client_check_plan(gw_record_t *reader)
{
    char                quoted[GW_JSON_QUOTE_SIZE];
    const tb_client_t  *c;

    c = reader->record;

    if (!(c->members & TB_CLIENT_PLAN)
        || tb_plan_is_name(c->plan, c->plan_len))
    {
        return 0;
    }

    gw_record_fail(reader, "plan is \"%s\", must be a string of "
                   TB_PLAN_NAME_ALLOWED,
                   gw_json_quote(quoted, c->plan, c->plan_len));

    return -1;
}


static int
tb_client_lacks(gw_record_t *reader, unsigned missing)
{
    char                text[GW_MEMBER_NAMES_SIZE];
    const gw_member_t  *m;

    for (m = reader->form->table; !(m->bit & missing); m++) { /* void */ }

    gw_record_fail(reader, "%s is missing, must be %s", m->name,
                   gw_member_allowed(text, m));

    return -1;
}


unsigned
tb_client_merge(tb_client_t *change, const tb_client_t *old, unsigned limits)
{
    unsigned  missing, named;

    named = change->members;
    missing = limits & ~(named | old->members);

    if ((named & limits) && missing) {
        return missing & ~(missing - 1);
    }

    if (!(named & TB_CLIENT_PLAN)) {

        if ((named & limits) == 0 && (old->members & TB_CLIENT_PLAN)) {
            change->plan_len = old->plan_len;
            memcpy(change->plan, old->plan, old->plan_len + 1);
            change->members |= TB_CLIENT_PLAN;
        }

        change->capacity = (named & TB_CLIENT_CAPACITY) ? change->capacity
                                                        : old->capacity;
        change->rate = (named & TB_CLIENT_RATE) ? change->rate : old->rate;
        change->quota = (named & TB_CLIENT_QUOTA) ? change->quota
                                                  : old->quota;
        change->inflight = (named & TB_CLIENT_INFLIGHT) ? change->inflight
                                                        : old->inflight;

        change->members |= old->members & limits;
    }

    if (!(named & TB_CLIENT_BLOCKED)) {
        change->blocked = (old->members & TB_CLIENT_BLOCKED) && old->blocked;
    }

    if (!(named & TB_CLIENT_UNLIMITED)) {
        change->unlimited = (old->members & TB_CLIENT_UNLIMITED)
                            && old->unlimited;
    }

    change->members |= old->members & (TB_CLIENT_BLOCKED
                                       | TB_CLIENT_UNLIMITED);

    return 0;
}


size_t
tb_client_print_rate(char *buf, uint64_t rate)
{
    unsigned  decimals;
    uint64_t  back, near, power, rest, whole;

    /* a step is more than 1e-6 r/s, so six decimals always tell it */

    decimals = 0;
    power = 1;
    whole = rate / TB_STEPS_A_SECOND;
    rest = rate % TB_STEPS_A_SECOND;

    for ( ;; ) {
        near = whole * power
               + (rest * power + TB_STEPS_A_SECOND / 2) / TB_STEPS_A_SECOND;
        back = near / power * TB_STEPS_A_SECOND
               + (near % power * 2 * TB_STEPS_A_SECOND / power + 1) / 2;

        if (back == rate || decimals == 6) {
            return gw_number_print(buf, near, decimals);
        }

        decimals++;
        power *= 10;
    }
}


size_t
tb_client_print_tokens(char *buf, int64_t tokens)
{
    size_t  len;

    if (tokens >= 0) {
        return gw_number_print(buf, (uint64_t) tokens, 6);
    }

    len = gw_number_print(buf, 0 - (uint64_t) tokens, 6);

    memmove(buf + 1, buf, len + 1);
    *buf = '-';

    return len + 1;
}


static size_t
tb_client_print_signed(char *buf, uint64_t tokens)
{
    return tb_client_print_tokens(buf, (int64_t) tokens);
}


size_t
tb_client_print(char *buf, const tb_client_t *c, uint32_t unit)
{
    char  *p;
    char   rate[GW_NUMBER_SIZE];

    p = buf;

    if (c->members & TB_CLIENT_PLAN) {
        p = tb_client_print_plan(p, c);
    }

    if (c->members & TB_CLIENT_CAPACITY) {
        (void) tb_client_print_rate(rate, c->rate * unit);

        p += sprintf(p, ",\"capacity\":%llu,\"rate_per_sec\":%s",
                     (unsigned long long) c->capacity * unit, rate);
    }

    if (c->members & TB_CLIENT_QUOTA) {
        p += sprintf(p, ",\"quota\":%llu",
                     (unsigned long long) c->quota * unit);
    }

    if (c->members & TB_CLIENT_INFLIGHT) {
        p += sprintf(p, ",\"inflight\":%u", (unsigned) c->inflight);
    }

    if ((c->members & TB_CLIENT_BLOCKED) && c->blocked) {
        p += sprintf(p, ",\"blocked\":true");
    }

    if ((c->members & TB_CLIENT_UNLIMITED) && c->unlimited) {
        p += sprintf(p, ",\"unlimited\":true");
    }

    /* nothing at all has to be said somehow */

    if (p == buf) {
        p += sprintf(p, ",\"blocked\":false");
    }

    *buf = '{';
    *p++ = '}';
    *p = '\0';

    return (size_t) (p - buf);
}


size_t
tb_client_print_state(char *buf, const tb_client_t *c, uint32_t unit)
{
    char  *p;
    char   number[GW_NUMBER_SIZE];

    p = buf;

    if (c->members & TB_CLIENT_PLAN) {
        p = tb_client_print_plan(p, c);
    }

    (void) tb_client_print_tokens(number, tb_unit_tokens(c->tokens, unit));

    p += sprintf(p, ",\"tokens\":%s,\"at\":%llu", number,
                 (unsigned long long) c->at);

    if (c->members & TB_CLIENT_QUOTA) {
        p += sprintf(p, ",\"quota\":%llu", (unsigned long long) c->quota);
    }

    *buf = '{';
    *p++ = '}';
    *p = '\0';

    return (size_t) (p - buf);
}


/* ,"plan":"NAME" into p; returns what follows it. */

static char *
tb_client_print_plan(char *p, const tb_client_t *c)
{
    size_t  i;

    p += sprintf(p, ",\"plan\":\"");

    for (i = 0; i < c->plan_len; i++) {
        if (c->plan[i] == '"' || c->plan[i] == '\\') {
            *p++ = '\\';
        }

        *p++ = c->plan[i];
    }

    *p++ = '"';

    return p;
}
