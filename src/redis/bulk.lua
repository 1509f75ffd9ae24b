-- The clients of an array: all or none.
--
-- KEYS: clients, changes, epoch.  ARGV: ids and values in turn, 1,000 of each
-- at most.
--
-- Returns EPOCH (the store is not whole); else OLD, the last entry of the
-- stream, and how many are new.

if redis.replicate_commands then redis.replicate_commands() end

if redis.call('EXISTS', KEYS[3]) == 0 then return {'EPOCH'} end

redis.call('HLEN', KEYS[1])
redis.call('XLEN', KEYS[2])

local created = redis.call('HSET', KEYS[1], unpack(ARGV))
local seq

for i = 1, #ARGV, 2 do
  seq = redis.call('XADD', KEYS[2], 'MAXLEN', '~', 100000, '*', 'id', ARGV[i])
end

return {'OLD', seq, created}
