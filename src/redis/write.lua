-- One write of the clients API: its check and the change in one.  Reads all
-- its keys before it writes, so that a key of a wrong type stops it before
-- anything has changed.
--
-- KEYS: clients, changes, epoch, tokens, tokens set by the API.
-- ARGV: kind, id, capacity, rate, tokens, state of tokens (none: they are
-- leased), then the limits in force for a value that is malformed.
--
-- Returns EPOCH (the store is not whole), EXISTS, MISSING, or RANGE with what
-- would be the value but that the tokens are too many for it; else OLD or NEW,
-- the entry of the stream, and the value.

if redis.replicate_commands then redis.replicate_commands() end

local kind, id, capacity, rate, tokens, state = unpack(ARGV, 1, 6)

-- The limits in a client's value; nil if it is malformed.

local function limits(text)
  local c, r = text:match('^{"capacity":(%d+),"rate_per_sec":(%d+%.?%d*)}$')
  if not c then
    local ok, t = pcall(cjson.decode, text)
    if not ok or type(t) ~= 'table' then return end
    for k in pairs(t) do
      if k ~= 'capacity' and k ~= 'rate_per_sec' then return end
    end
    c, r = t.capacity, t.rate_per_sec
    if type(c) ~= 'number' or type(r) ~= 'number' then return end
    r = string.format('%.14g', r)
  end
  local nc, nr = tonumber(c), tonumber(r)
  if nc < 1 or nc > 1000000 or nc % 1 ~= 0
     or nr < 0.0000115 or nr > 1000000
  then
    return
  end
  return string.format('%d', nc), r
end

if redis.call('EXISTS', KEYS[3]) == 0 then return {'EPOCH'} end

local old = redis.call('HGET', KEYS[1], id)
redis.call('XLEN', KEYS[2])

if old then
  if kind == 'create' then return {'EXISTS'} end
elseif kind == 'change' or kind == 'remove' then
  return {'MISSING'}
end

if kind == 'change' then
  local c, r = limits(old)
  if not c then c, r = ARGV[7], ARGV[8] end
  if capacity == '' then capacity = c end
  if rate == '' then rate = r end
  if capacity == '' or rate == '' then return {'MISSING'} end
end

local value = '{"capacity":' .. capacity .. ',"rate_per_sec":' .. rate .. '}'

if kind == 'change' and tokens ~= ''
   and tonumber(tokens) > tonumber(capacity)
then
  return {'RANGE', '0-0', value}
end

if state ~= '' then
  redis.call('HLEN', KEYS[4])
  redis.call('HLEN', KEYS[5])
end

local seq = redis.call('XADD', KEYS[2], 'MAXLEN', '~', 100000, '*', 'id', id)

if kind == 'remove' then
  redis.call('HDEL', KEYS[1], id)
else
  redis.call('HSET', KEYS[1], id, value)
end

-- Tokens are saved also while the node's name is that of a predecessor that
-- has died.

if state ~= '' then
  for i = 4, 5 do
    redis.call('HSET', KEYS[i], id, state)
    if redis.call('PTTL', KEYS[i]) < 0 then
      redis.call('PEXPIRE', KEYS[i], 86400000)
    end
  end
end

return {old and 'OLD' or 'NEW', seq, value}
