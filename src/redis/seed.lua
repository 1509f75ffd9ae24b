-- Gives clients, or plans, back to a Redis that lost them; what is there
-- already, stays.
-- An epoch that has lost its meaning goes first, so that nothing is written
-- to what is not whole.
--
-- KEYS: clients (or plans), epoch, guard.  ARGV: token of the caller, epoch as
-- it was seen, epoch to end with or none, ids and values in turn.
--
-- Returns OK, DONE if the epoch is another one by now, or BUSY if another
-- node is at it.

if (redis.call('GET', KEYS[2]) or '') ~= ARGV[2] then return 'DONE' end

local owner = redis.call('GET', KEYS[3])
if owner and owner ~= ARGV[1] then return 'BUSY' end

redis.call('SET', KEYS[3], ARGV[1], 'PX', 3000)
if ARGV[2] ~= '' then redis.call('DEL', KEYS[2]) end

for i = 4, #ARGV, 2 do
  redis.call('HSETNX', KEYS[1], ARGV[i], ARGV[i + 1])
end

if ARGV[3] ~= '' then
  redis.call('SET', KEYS[2], ARGV[3])
  redis.call('DEL', KEYS[3])
end

return 'OK'
