
/*
 * The script that leases tokens: the whole of the protocol's Redis side.
 * What calls and replies look like, and why the limit is strict, is in
 * src/core/tb_lease.h; t/unit/tb_lease_model.h is the same in C, and tests
 * hold the two against each other.  Text only, without nginx, for one file
 * and the tests to include.
 *
 * Values, little endian, "f8" a double:
 *
 *     holders  last f8, age f8, clock f8, base f8, lag f8, for each holder
 *              id 6, tag 4, seen f8, share f8, seq f8, absent f8
 *     bucket   gen u4, left f8, since f8, then for each holder
 *              id 6, held f8, seq f8, want f8, time f8
 *
 * Times are in us.  "last" is Redis' own time, and the others are times of
 * "age", which is how long the holders have existed by that clock and does not
 * go back when that does.  "clock" is the time by which buckets refill: it
 * goes slower by the share of each holder that is missing, as that one
 * refills its words itself.  "seen" is when a holder got its last reply,
 * as far as that is known.  A holder that has been missing for 60 s of the
 * time that Redis served others is forgotten, for 2 s if its node has another
 * one that came later.
 *
 * A bucket without a value is full if it has had the time to fill since
 * "base", or if there is no base (-1).  Values expire after twice the time
 * in which the bucket fills and a minute more.  "lag" finds out when the
 * clock went so slowly that a value may have expired too early, and base
 * is moved then.  A Redis that lost its data, to which holders come back,
 * begins with base 0, so nobody gets a full bucket for the second time, and
 * with one more holder (id 0) that is missing: it stands for those who have
 * not come back yet.
 *
 * A holder that may believe to have all of the limit may take all of a bucket
 * once it is missing.  So nobody else is granted any until it has told that
 * it believes less, but one of its own node that came after it went missing.
 *
 * A bucket is settled with what holders held up to now, and what is reported
 * counts from now on: tokens spent lately leave no room for refill of the
 * time before.
 *
 * The last multiplication of a refill may be rounded up by the processor
 * where it exceeds 2^53; 1 µtok less makes up for it.
 */


#ifndef NGX_HTTP_TBUCKET_LEASE_SCRIPT_H
#define NGX_HTTP_TBUCKET_LEASE_SCRIPT_H


static const char  ngx_http_tbucket_script_lease[] =
    "if redis.replicate_commands then redis.replicate_commands() end\n"
    "local get, put, floor = struct.unpack, struct.pack, math.floor\n"
    "local min, max, sub = math.min, math.max, string.sub\n"
    "local time = redis.call('TIME')\n"
    "local wall = time[1] * 1000000 + time[2]\n"
    "local id, tag, flags, seq, ack, belief = get('<c6c4Bddd', ARGV[1])\n"
    "local beats, joins = flags % 2 >= 1, flags % 4 >= 2\n"
    "local values = redis.call('MGET', unpack(KEYS))\n"
    "local text = values[1]\n"
    "local last, age, clock, base, lag = wall, 0, 0, -1, 0\n"
    "local holders, nobody = {}, string.rep('\\0', 6)\n"
    "if text and #text % 42 == 40 then\n"
    "  last, age, clock, base, lag = get('<ddddd', text)\n"
    "  for p = 41, #text, 42 do\n"
    "    local h = {}\n"
    "    h.id, h.tag, h.seen, h.share, h.seq, h.absent =\n"
    "      get('<c6c4dddd', text, p)\n"
    "    holders[#holders + 1] = h\n"
    "  end\n"
    "elseif flags % 8 >= 4 and belief < 1000000 then\n"
    "  base = 0\n"
    "  holders[1] = {id = nobody, tag = '0000', seen = -300001,\n"
    "                share = 1000000, seq = 0, absent = 0}\n"
    "end\n"

    /* the clock */

    "local step = max(0, wall - last)\n"
    "local now = age + step\n"
    "local reserved = 0\n"
    "if step > 3600000000 then\n"
    "  holders, base, lag = {}, -1, 0\n"
    "end\n"
    "for _, h in ipairs(holders) do\n"
    "  local missing = now - max(h.seen + 300000, age)\n"
    "  if missing > 0 then\n"
    "    reserved = reserved + missing * h.share\n"
    "    if step <= 1000000 then h.absent = h.absent + missing end\n"
    "  end\n"
    "end\n"
    "reserved = min(step, math.ceil(reserved / 1000000))\n"
    "clock = clock + step - reserved\n"
    "lag = max(0, lag + reserved - floor(step / 2))\n"
    "if lag > 30000000 then\n"
    "  base, lag = clock, 0\n"
    "end\n"

    /* the holders */

    "local all, me, known, shares, successor = {}, nil, {}, 0, {}\n"
    "local others\n"
    "for i = #holders, 1, -1 do\n"
    "  local h = holders[i]\n"
    "  if h.absent > 60000000\n"
    "     or h.absent > 2000000 and successor[h.tag]\n"
    "  then\n"
    "    holders[i] = false\n"
    "  elseif h.seen + 300000 >= now then\n"
    "    successor[h.tag] = true\n"
    "  end\n"
    "end\n"
    "for i = 1, #holders do\n"
    "  local h = holders[i]\n"
    "  if h then\n"
    "    all[#all + 1] = h\n"
    "    if h.id == nobody then others = h end\n"
    "    if h.id == id then me = h else shares = shares + h.share end\n"
    "  end\n"
    "end\n"
    "if not me then\n"
    "  if not joins then return put('<BI4I4I4d', 2, 0, 0, 0, 0) end\n"
    "  me = {id = id, tag = tag, seen = now, share = 0, seq = 0, absent = 0}\n"
    "  if others and flags % 8 >= 4 then\n"
    "    local share = min(belief, others.share)\n"
    "    others.share, shares = others.share - share, shares - share\n"
    "    if others.share < 1000 then\n"
    "      shares = shares - others.share\n"
    "      table.remove(all, 1)\n"
    "    end\n"
    "  end\n"
    "  all[#all + 1] = me\n"
    "  belief = 0\n"
    "end\n"
    "local status = 0\n"
    "if beats and seq > me.seq then\n"
    "  me.seq = seq\n"
    "  me.seen = max(me.seen, min(ack, now))\n"
    "  if me.seen + 300000 >= now then me.absent = 0 end\n"
    "  me.share = max(0, min(floor(1000000 / #all), 1000000 - shares))\n"
    "elseif beats then\n"
    "  status = 1\n"
    "end\n"
    "local told = me.share\n"
    "if status == 0 and beats then me.share = max(told, belief) end\n"
    "local away, alone = {}, false\n"
    "for _, h in ipairs(all) do\n"
    "  known[h.id] = h\n"
    "  h.whole = h.share >= 1000000 and (h == me or h.tag ~= tag)\n"
    "  if h.seen + 300000 < now then\n"
    "    h.away = now - h.seen - 300000\n"
    "    away[#away + 1] = h\n"
    "  elseif h.share >= 1000000 then\n"
    "    h.whole = true\n"
    "  end\n"
    "  if h ~= me and h ~= others and h.whole then alone = true end\n"
    "end\n"

    /* the buckets */

    "local parts, keys, call = ARGV[2], KEYS, redis.call\n"
    "local n = #parts / 49\n"
    "local out = {}\n"
    "local full, rate, capacity, ttl, fresh\n"
    "local function possible(h, held, whole)\n"
    "  if h.id == nobody then\n"
    "    return floor(full * min(1000000, h.share * 1.125) / 1000000)\n"
    "  end\n"
    "  if whole then return full end\n"
    "  return min(max(held, floor(full * h.share / 1000000)),\n"
    "             held + floor(rate * h.share / 1000000\n"
    "                          * h.away / 864000) + 1)\n"
    "end\n"
    "for k = 1, n do\n"
    "  local op, gen, hold, back, want, unit\n"
    "  local size, speed\n"
    "  op, gen, hold, back, want, unit, size, speed =\n"
    "    get('<BI4ddddI4d', parts, k * 49 - 48)\n"
    "  if size ~= capacity or speed ~= rate then\n"
    "    capacity, rate, full = size, speed, size * 1000000\n"
    "    ttl = string.format('%.0f', floor(full * 1728 / rate) + 60001)\n"
    "    fresh = now - max(20000, min(250000, full * 432000 / rate))\n"
    "  end\n"
    "  local value = values[k + 1]\n"
    "  local current, left, since = 0, full, clock\n"
    "  local rest, held, mine, done = '', 0, 0, 0\n"
    "  local rivals, wanted = 1, 0\n"
    "  if value and #value % 38 == 20 then\n"
    "    current, left, since = get('<I4dd', value)\n"
    "    for p = 21, #value, 38 do\n"
    "      local who, has, s, w, t = get('<c6dddd', value, p)\n"
    "      local h = known[who]\n"
    "      if h == me then\n"
    "        mine, done = has, s\n"
    "      elseif h then\n"
    "        rest = rest .. sub(value, p, p + 37)\n"
    "        if h.away then\n"
    "          h.met = k\n"
    "          has = possible(h, has, h.whole)\n"
    "        end\n"
    "        held = held + has\n"
    "        if w > 0 and t > fresh then\n"
    "          rivals, wanted = rivals + 1, wanted + w\n"
    "        end\n"
    "      end\n"
    "    end\n"
    "  elseif base >= 0 then\n"
    "    left, since = 0, base\n"
    "  end\n"
    "  local limit = me.away and possible(me, mine, me.whole and op == 3)\n"
    "                or mine\n"
    "  for i = 1, #away do\n"
    "    local h = away[i]\n"
    "    if h ~= me and h.met ~= k then\n"
    "      held = held + possible(h, 0, h.whole)\n"
    "    end\n"
    "  end\n"
    "  local free = left\n"
    "  if clock > since then\n"
    "    local earned = rate * (clock - since)\n"
    "    free = free + floor(earned / 864000)\n"
    "    if earned > 9007199254740992 then free = free - 1 end\n"
    "  end\n"
    "  local room = full - held - limit\n"
    "  local settled = free >= room\n"
    "  if settled then free = room > 0 and room or 0 end\n"
    "  local state, delta = 0, 0\n"
    "  if op == 2 then\n"
    "    delta = min(held, full)\n"
    "  elseif op ~= 1 and done >= seq then\n"
    "    state = 1\n"
    "  elseif op ~= 1 and alone then\n"
    "    delta, free = 0 - hold, 0\n"
    "  else\n"
    "    local grant = 0\n"
    "    if op == 3 then\n"
    "      free, back, settled = min(free, back), 0, true\n"
    "    end\n"
    "    if op == 1 then\n"
    "      current = (current + 1) % 4294967296\n"
    "      free, rest, settled = min(full, want), '', true\n"
    "      delta, hold, want = -hold, 0, 0\n"
    "    else\n"
    "      if gen ~= current then\n"
    "        delta, hold, back = -hold, 0, 0\n"
    "      elseif hold > limit then\n"
    "        delta, hold = limit - hold, limit\n"
    "      end\n"
    "      if back > 0 then\n"
    "        back = min(back, limit - hold)\n"
    "        free = free + back\n"
    "      end\n"
    "      if want > 0 then\n"
    "        local most = hold + floor(min(want, max(free / rivals,\n"
    "                                                free - wanted)))\n"
    "        grant = most - most % unit - hold\n"
    "        if grant <= 0 then\n"
    "          grant = unit - hold % unit\n"
    "          if grant > free or grant > want then grant = 0 end\n"
    "        end\n"
    "      end\n"
    "      free = free - grant\n"
    "    end\n"
    "    if settled or grant > 0 or back > 0 then\n"
    "      left, since = free, clock\n"
    "    end\n"
    "    delta = delta + grant\n"
    "    if settled or want > 0 or back > 0 or mine ~= hold + grant then\n"
    "      call('SET', keys[k + 1], put('<I4dd', current, left, since)\n"
    "           .. rest\n"
    "           .. put('<c6dddd', id, hold + grant, seq, want, now),\n"
    "           'PX', ttl)\n"
    "    end\n"
    "  end\n"
    "  out[k] = put('<BI4dd', state, current, delta, free)\n"
    "end\n"

    "local save = {put('<ddddd', wall, now, clock, base, lag)}\n"
    "for _, h in ipairs(all) do\n"
    "  if h ~= me or flags % 16 < 8 then\n"
    "    save[#save + 1] = put('<c6c4dddd', h.id, h.tag, h.seen, h.share,\n"
    "                          h.seq, h.absent)\n"
    "  end\n"
    "end\n"
    "redis.call('SET', KEYS[1], table.concat(save))\n"
    "return put('<BI4I4I4d', status, told, #all, #away, now)\n"
    "       .. table.concat(out)\n";


#endif /* NGX_HTTP_TBUCKET_LEASE_SCRIPT_H */
