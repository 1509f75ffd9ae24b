-- One bucket for many nodes: lends tokens to the node that calls, takes back
-- what it returns, and keeps account of who may be using how much.  This is
-- all of the protocol's Redis side.  What calls and replies look like is in
-- src/core/lease/tb_lease_wire.h, why the limit is strict in tb_lease.h.
--
-- KEYS: the nodes, then one bucket each.  ARGV: the head of the call, its
-- parts.  Returns the reply, a string.
--
-- Values, little endian; "f8" is a double:
--
--     nodes    last f8, age f8, clock f8, base f8, lag f8, lost f8, then for
--              each node  id 6, tag 4, seen f8, share f8, seq f8, absent f8
--     bucket   gen u4, left f8, since f8, then for each node
--              id 6, held f8, seq f8, want f8, time f8, owed f8
--
-- Times are in us.  "last" is Redis' own time, the others are times of
-- "age", which is how long the nodes have existed by that clock and does not
-- go back when that does.  "clock" is the time by which buckets refill: it
-- goes slower by the share of each node that is missing, as that one refills
-- its words itself.  "seen" is when a node got its last reply, as far as
-- that is known.
--
-- A bucket without a value is full if it has had the time to fill since
-- "base", or if there is no base (-1).  Values expire after twice the time in
-- which the bucket fills and a minute more.  "lag" finds out when the clock
-- went so slowly that a value may have expired too early; base is moved then.
-- "lost" is 1 if Redis had lost its data when age began: nothing is left of a
-- quota without a value then, unless its window began later.
--
-- A bucket of places for requests in flight has no rate: what is held and not
-- reported any more is free again, and left and since say nothing.  Its values
-- expire when no node can have been in contact for long.
--
-- A bucket is settled with what nodes held up to now, and what is reported
-- counts from now on: tokens spent lately leave no room for refill of the
-- time before.
--
-- A bucket of a quota has no rate either, and is one of a window of the
-- calendar: "past" us ago that has begun, and it ends "ahead" us from now.  Its
-- "left" is stored less the capacity, so that what has been used stays the same
-- when the quota changes.  While nodes are missing, each has its share of what
-- was left when that was first seen ("since"; -1: none is missing).
--
-- Less than nothing is left of a bucket in debt, and nobody is granted any
-- before that has refilled.  A node says what its word owes, less what has
-- been given back to it, since the last answer that it has got ("heard");
-- "owed" is how much of that has been charged already, in a call of which it
-- knows nothing, so that no debt is charged twice.  What a node has taken of a
-- quota while it was alone is a debt of that kind.

if redis.replicate_commands then redis.replicate_commands() end

local get, put, floor = struct.unpack, struct.pack, math.floor
local min, max, sub = math.min, math.max, string.sub

-- us after its last reply from which on a node counts as missing
local MISSING = 300000

-- us after which a Redis that lost its data has heard of all places in use
local FOUND = 1500000

-- us by which clocks of nodes may differ where it matters when a window began
local APART = 5000000

-- all of the shares, in parts per million
local ALL = 1000000

-- doubles are exact up to here
local EXACT = 9007199254740992

-- the most debt, in µtok; and the generation of a node that knows of none
local DEBT = 99511000000
local ANY = 4294967295

local time = redis.call('TIME')
local wall = time[1] * 1000000 + time[2]

local id, tag, flags, seq, ack, belief, past, ahead =
  get('<c6c4Bddddd', ARGV[1])
local quota = ahead > 0
local beats, joins = flags % 2 >= 1, flags % 4 >= 2
local returns, leaves = flags % 8 >= 4, flags % 16 >= 8

local values = redis.call('MGET', unpack(KEYS))


-- What is known of the nodes.  A Redis that lost its data, to which nodes
-- come back, begins with base 0, so that nobody gets a full bucket for the
-- second time, and with one more node (id 0) that is missing: it stands for
-- those which have not come back yet.

local text = values[1]
local last, age, clock, base, lag, lost = wall, 0, 0, -1, 0, 0
local nodes, nobody = {}, string.rep('\0', 6)

if text and #text % 42 == 6 then
  last, age, clock, base, lag, lost = get('<dddddd', text)
  for p = 49, #text, 42 do
    local n = {}
    n.id, n.tag, n.seen, n.share, n.seq, n.absent = get('<c6c4dddd', text, p)
    nodes[#nodes + 1] = n
  end
elseif returns and belief < ALL then
  base, lost = 0, 1
  nodes[1] = {id = nobody, tag = '0000', seen = -MISSING - 1, share = ALL,
              seq = 0, absent = 0}
end


-- The clocks.  Nobody in contact for an hour: all is forgotten.  A step of
-- more than a second is no time in which Redis served others.

local step = max(0, wall - last)
local now = age + step
local reserved = 0

if step > 3600000000 then
  nodes, base, lag = {}, -1, 0
end

for _, n in ipairs(nodes) do
  local missing = now - max(n.seen + MISSING, age)
  if missing > 0 then
    reserved = reserved + missing * n.share
    if step <= 1000000 then n.absent = n.absent + missing end
  end
end

reserved = min(step, math.ceil(reserved / ALL))
clock = clock + step - reserved
lag = max(0, lag + reserved - floor(step / 2))

if lag > 30000000 then
  base, lag = clock, 0
end


-- Who is forgotten: a node that has been missing for 56 s of the time that
-- Redis served others, so that others have its part within a minute, or for 2 s
-- if one of the same name has come after it.

local successor = {}

for i = #nodes, 1, -1 do
  local n = nodes[i]
  if n.absent > 56000000 or n.absent > 2000000 and successor[n.tag] then
    nodes[i] = false
  elseif n.seen + MISSING >= now then
    successor[n.tag] = true
  end
end

-- "shares" is what the others may believe to have, "others" is node 0

local all, me, others, shares = {}, nil, nil, 0

for i = 1, #nodes do
  local n = nodes[i]
  if n then
    all[#all + 1] = n
    if n.id == nobody then others = n end
    if n.id == id then me = n else shares = shares + n.share end
  end
end


-- The caller: it may join, and then has no share yet, which is told to it
-- once the others believe to have less.  A node that returns brings the share
-- along that node 0 kept for it.

if not me then
  if not joins then return put('<BI4I4I4d', 2, 0, 0, 0, 0) end
  me = {id = id, tag = tag, seen = now, share = 0, seq = 0, absent = 0}
  if others and returns then
    local share = min(belief, others.share)
    others.share, shares = others.share - share, shares - share
    if others.share < 1000 then
      shares = shares - others.share
      table.remove(all, 1)
    end
  end
  all[#all + 1] = me
  belief = 0
end

-- A beat is the node's word on itself; an older one is stale.

local status = 0

if beats and seq > me.seq then
  me.seq = seq
  me.seen = max(me.seen, min(ack, now))
  if me.seen + MISSING >= now then me.absent = 0 end
  me.share = max(0, min(floor(ALL / #all), ALL - shares))
elseif beats then
  status = 1
end

local told = me.share
if status == 0 and beats then me.share = max(told, belief) end


-- Who is missing, and who may use all of the limit: a node that may believe
-- to have all of it may take all of a bucket once it is missing.  So nobody
-- else is granted any ("alone") until it has told that it believes less, but
-- one of its own name that came after it went missing.

local known, away, alone = {}, {}, false

for _, n in ipairs(all) do
  known[n.id] = n
  n.whole = n.share >= ALL and (n == me or n.tag ~= tag)
  if n.seen + MISSING < now then
    n.away = now - n.seen - MISSING
    away[#away + 1] = n
  elseif n.share >= ALL then
    n.whole = true
  end
  if n ~= me and n ~= others and n.whole then alone = true end
end


-- The bucket at hand: its capacity and rate as in the call, the capacity in
-- µtok ("full"), and the time since when what a node wanted counts.

local capacity, rate, full, fresh

-- What a node that is missing may have in it; of places its share as soon as it
-- is missing, though it waits for a while with what it has not got yet.

local function possible(n, held, whole)
  if quota then return held end
  if n.id == nobody then
    return floor(full * min(ALL, n.share * 1.125) / ALL)
  end
  if whole then return full end
  if rate == 0 then
    local part = floor(full * n.share / ALL)
    return max(held, part - part % 1000000)
  end
  return min(max(held, floor(full * n.share / ALL)),
             held + floor(rate * n.share / ALL * n.away / 864000) + 1)
end

local parts, keys, call = ARGV[2], KEYS, redis.call
local out = {}

for k = 1, #parts / 65 do
  local op, gen, hold, back, want, unit, refund, heard, size, speed =
    get('<BI4ddddddI4d', parts, k * 65 - 64)

  if size ~= capacity or speed ~= rate then
    capacity, rate, full = size, speed, size * 1000000
    fresh = now - 250000
    if rate > 0 then
      fresh = now - max(20000, min(250000, full * 432000 / rate))
    end
  end

  -- What is recorded: "mine", "done" and "paid" are the caller's tokens, its
  -- last call, and what that has been charged if it has not heard of it;
  -- "rest" are the others' records, who hold "held" and want "wanted"; "gone"
  -- of it is held by those who are missing, and "idle" by those who want none.

  local value = values[k + 1]
  local current, left, since = 0, full, quota and -1 or clock
  local rest, held, mine, done, paid = '', 0, 0, 0, 0
  local rivals, wanted = 1, 0
  local holders, gone, idle = 1, 0, 0

  if value and #value % 46 == 20 then
    current, left, since = get('<I4dd', value)
    if quota then left = left + full end
    for p = 21, #value, 46 do
      local who, has, s, w, t, owed = get('<c6ddddd', value, p)
      local n = known[who]
      if n == me then
        mine, done = has, s
        if s > heard then paid = owed end
      elseif n then
        rest = rest .. sub(value, p, p + 45)
        if n.away then
          n.met = k
          has = possible(n, has, n.whole)
          gone = gone + has
        end
        held = held + has
        if w > 0 and t > fresh then
          rivals, wanted = rivals + 1, wanted + w
        elseif not n.away then
          idle = idle + has
        end
        if has > 0 and not n.away then holders = holders + 1 end
      end
    end
  elseif quota then
    if lost > 0 and now < past + APART then left = 0 end
  elseif base >= 0 then
    left, since = 0, base
  end

  local limit = me.away and possible(me, mine, me.whole and op >= 3) or mine
  local kept, missing = 0, 0

  for i = 1, #away do
    local n = away[i]
    if n ~= me then
      missing = missing + (n.whole and ALL or n.share)
      if n.met ~= k then
        local has = possible(n, 0, n.whole)
        held, gone = held + has, gone + has
      end
    end
  end

  if quota then
    limit = limit - min(refund, 0)
    if missing == 0 then
      since = -1
    else
      if since < 0 then since = max(left, 0) end
      kept = math.ceil(since * min(missing, ALL) / ALL)
    end
  end

  -- Refill.  Its last multiplication may be rounded up where it exceeds
  -- what is exact; 1 µtok less makes up for it.

  local free = left

  if not quota and clock > since then
    local earned = rate * (clock - since)
    free = free + floor(earned / 864000)
    if earned > EXACT then free = free - 1 end
  end

  local room = full - held - limit
  local settled = free >= room and not quota
  if settled then free = max(room, min(free, 0)) end

  -- The operation: 0 TAKE, 1 SET, 2 PEEK, 3 CAP, 4 PLACES.

  local state, delta = 0, 0

  if op == 4 and done < seq then

    -- What is in use is so.  A Redis that lost its data lends none before all
    -- nodes have had the time to come back, or to find themselves alone.  If
    -- there are too few for those who want some, or more are held than there
    -- are, who has more than its part is to do with less; it counts as its own
    -- until it has told so.

    local wait = alone or base == 0 and now < FOUND
    local lent = alone and 0 or max(0, min(hold, limit - back))
    local grant = 0

    delta = lent - hold
    free = full - held - lent - back

    local part = full - gone

    if free < 0 then
      part = floor(part / holders / unit) * unit
    else
      part = math.ceil((part - idle) / rivals / unit) * unit
    end

    local lack = math.ceil((wanted - free - back) / unit) * unit

    if lack > 0 and lent > part then
      delta = delta - min(lent - max(0, part), lack)
    elseif want > 0 and free >= unit and not wait then
      grant = min(want, free, max(part - lent - back, free - wanted, 0))
      grant = grant - grant % unit
    end

    delta = delta + grant
    free = max(0, free - grant)
    want = max(0, want - grant)
    grant = grant + lent + back

    if grant > 0 or mine > 0 or want > 0 then
      call('SET', keys[k + 1],
           put('<I4dd', current, 0, clock) .. rest
           .. put('<c6ddddd', id, grant, seq, want, now, 0),
           'PX', '180000')
    end
  elseif op == 4 then
    state, free = 1, max(0, free)
  elseif op == 2 then
    delta = min(held, full)
  elseif op ~= 1 and done >= seq then
    state = 1
  elseif op ~= 1 and alone then

    -- what it owes waits until there is somebody to pay

    if hold < 0 or refund < 0 or refund > 0 and hold == 0 then state = 1 end
    delta, free = 0 - hold, min(free, 0)
  else
    local grant, owed = 0, 0

    if op == 3 then
      free, paid, settled = min(free + paid, back), 0, true
      back = 0
    end

    if op == 1 then
      current = (current + 1) % ANY
      free, rest, settled = min(full, want), '', true
      delta, hold, want, paid = -hold, 0, 0, 0
    else
      if gen ~= current and gen ~= ANY then
        delta, hold, back = -hold, 0, 0
      elseif hold < 0 then
        delta, owed, hold = -hold, -hold - refund, 0
      else
        if hold > limit then delta, hold = limit - hold, limit end
        owed = -refund
      end

      -- what is given back has the room that there is now

      if paid > owed then
        free = max(free, min(free + paid - owed, full - held - hold - back))
      else
        free = free + paid - owed
        if not quota then free = max(free, -DEBT) end
      end

      if back > 0 then
        back = min(back, limit - hold)
        free = free + back
      end

      -- a fair part, in whole units; or one unit, if that is there

      if want > 0 then
        local spare = free - kept
        local most = hold + floor(min(want, max(spare / rivals,
                                                spare - wanted)))
        grant = most - most % unit - hold
        if grant <= 0 then
          grant = unit - hold % unit
          if grant > spare or grant > want then grant = 0 end
        end
      end

      free = free - grant
    end

    if settled or grant > 0 or back > 0 or paid ~= owed then
      left = free
      if not quota then since = clock end
    end

    delta = delta + grant

    if settled or want > 0 or back > 0 or paid ~= 0 or owed ~= 0
       or mine ~= hold + grant
    then
      local ttl = floor(ahead / 1000) + 3600000
      if not quota then
        ttl = floor((full - min(left, 0)) * 1728 / rate) + 60001
      end
      call('SET', keys[k + 1],
           put('<I4dd', current, quota and left - full or left, since) .. rest
           .. put('<c6ddddd', id, hold + grant, seq, want, now, owed),
           'PX', string.format('%.0f', ttl))
    end
  end

  out[k] = put('<BI4dd', state, current, delta, max(free, -DEBT))
end


local save = {put('<dddddd', wall, now, clock, base, lag, lost)}

for _, n in ipairs(all) do
  if n ~= me or not leaves then
    save[#save + 1] = put('<c6c4dddd', n.id, n.tag, n.seen, n.share, n.seq,
                          n.absent)
  end
end

call('SET', KEYS[1], table.concat(save))

return put('<BI4I4I4d', status, told, #all, #away, now)
       .. table.concat(out)
