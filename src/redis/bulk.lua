-- The clients of an array: all or none.
--
-- KEYS: clients, changes, epoch.  ARGV: "do", ids and values in turn, 1,000 of
-- each at most; or "try", whether this shard would take any.
--
-- Returns EPOCH (the store is not whole); FINE for a try; else OLD, the last
-- entry of the stream, and how many are new.

if redis.replicate_commands then redis.replicate_commands() end

if redis.call('EXISTS', KEYS[3]) == 0 then return {'EPOCH'} end

redis.call('HLEN', KEYS[1])
redis.call('XLEN', KEYS[2])

-- These change nothing; the last one is refused where there is no memory.

if ARGV[1] == 'try' then
  redis.call('HDEL', KEYS[1], '\0')
  redis.call('XTRIM', KEYS[2], 'MAXLEN', '~', 100000)
  redis.call('SETRANGE', KEYS[3], 0, '')
  return {'FINE'}
end

local created = redis.call('HSET', KEYS[1], unpack(ARGV, 2))
local seq

for i = 2, #ARGV, 2 do
  seq = redis.call('XADD', KEYS[2], 'MAXLEN', '~', 100000, '*', 'id', ARGV[i])
end

return {'OLD', seq, created}
