-- Replaces the token states of a node, if the name is its own; or only shows
-- that the node is alive ("beat"), and tries whether Redis would take what
-- the API may write.
--
-- KEYS: tokens, secret, node, the states that were sent, those that the API
-- has set, clients, changes.
-- ARGV: token of the caller, ms that the name is kept, mode (save, leave or
-- beat), how many states, secret, ms that states are kept, and the time (ms)
-- by which what the API had set was in the states that were sent: what it
-- set later wins.
--
-- Returns OK, TAKEN if another node has the name, or LOST if the states are
-- not those that were sent.

if redis.replicate_commands then redis.replicate_commands() end

local owner = redis.call('GET', KEYS[3])
local taken = owner and owner ~= ARGV[1]

if not taken then
  redis.call('SET', KEYS[3], ARGV[1], 'PX', ARGV[2])
end

if ARGV[3] == 'beat' then
  redis.call('HDEL', KEYS[6], '\0')
  redis.call('XTRIM', KEYS[7], 'MAXLEN', '~', 100000)
  return taken and 'TAKEN' or 'OK'
end

if taken then
  redis.call('DEL', KEYS[4])
  return 'TAKEN'
end

if redis.call('HLEN', KEYS[4]) ~= tonumber(ARGV[4]) then
  redis.call('DEL', KEYS[4])
  return 'LOST'
end

redis.call('SET', KEYS[2], ARGV[5], 'PX', ARGV[6])

if ARGV[4] == '0' then
  redis.call('DEL', KEYS[1])
else
  redis.call('RENAME', KEYS[4], KEYS[1])
end

local set = redis.call('HGETALL', KEYS[5])

for i = 1, #set, 2 do
  local at = tonumber(set[i + 1]:match('"at":(%d+)'))
  if at and at >= tonumber(ARGV[7]) then
    redis.call('HSET', KEYS[1], set[i], set[i + 1])
  else
    redis.call('HDEL', KEYS[5], set[i])
  end
end

redis.call('PEXPIRE', KEYS[1], ARGV[6])
if ARGV[3] == 'leave' then redis.call('DEL', KEYS[3]) end

return 'OK'
