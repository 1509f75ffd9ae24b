-- Many clients, which are in a hash of their own: all or none.  More than
-- 1,000 are named in the stream by entries of 100 ids, since Redis serves
-- nobody meanwhile.
--
-- KEYS: clients, changes, epoch, that hash.  ARGV: how many.
--
-- Returns EPOCH (the store is not whole), or LOST if the hash is not what was
-- sent; else OLD, the last entry of the stream, and how many are new.

if redis.replicate_commands then redis.replicate_commands() end

if redis.call('EXISTS', KEYS[3]) == 0 then return {'EPOCH'} end
if redis.call('HLEN', KEYS[4]) ~= tonumber(ARGV[1]) then return {'LOST'} end

redis.call('HLEN', KEYS[1])
redis.call('XLEN', KEYS[2])

local all = redis.call('HGETALL', KEYS[4])
local created, seq, ids = 0, '0-0', {}

for i = 1, #all, 1000 do
  local last = math.min(i + 999, #all)
  created = created + redis.call('HSET', KEYS[1], unpack(all, i, last))
end

local many = #all > 2000 and 200 or 2

for i = 1, #all, 2 do
  ids[#ids + 1], ids[#ids + 2] = 'id', all[i]
  if #ids == many or i + 1 == #all then
    seq = redis.call('XADD', KEYS[2], '*', unpack(ids))
    ids = {}
  end
end

redis.call('XTRIM', KEYS[2], 'MAXLEN', '~', 100000)
redis.call('UNLINK', KEYS[4])

return {'OLD', seq, created}
