-- One write of the API: its check and the change in one.  Reads all its keys
-- before it writes, so that a key of a wrong type stops it before anything has
-- changed.
--
-- KEYS: clients (or plans), changes, epoch, tokens, tokens set by the API.
-- ARGV: kind, field of the stream ("id" or "plan"), id, value, the value that a
-- change was made of, state of tokens (none: they are leased, or stay), the
-- most that there may be.
--
-- Returns EPOCH (the store is not whole), EXISTS, MISSING, FULL, or AGAIN
-- with the value that a change has to be made of; else OLD or NEW and the
-- entry of the stream.  What is longer than any value may be is cut, and wrong
-- all the same.

if redis.replicate_commands then redis.replicate_commands() end

local kind, field, id, value, known, state, most = unpack(ARGV, 1, 7)

if redis.call('EXISTS', KEYS[3]) == 0 then return {'EPOCH'} end

local old = redis.call('HGET', KEYS[1], id)
redis.call('XLEN', KEYS[2])

if old then
  if kind == 'create' then return {'EXISTS'} end
elseif kind == 'change' or kind == 'remove' then
  return {'MISSING'}
elseif most ~= '' and redis.call('HLEN', KEYS[1]) >= tonumber(most) then
  return {'FULL'}
end

if kind == 'change' and old:sub(1, 1024) ~= known then
  return {'AGAIN', '0-0', old:sub(1, 1024)}
end

if state ~= '' then
  redis.call('HLEN', KEYS[4])
  redis.call('HLEN', KEYS[5])
end

local seq = redis.call('XADD', KEYS[2], 'MAXLEN', '~', 100000, '*', field, id)

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

return {old and 'OLD' or 'NEW', seq}
