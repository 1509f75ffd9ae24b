-- Clients, or plans, as of the stream's last entry.
--
-- KEYS: clients (or plans), changes, epoch.  ARGV: "scan", cursor and count;
-- or "get" and ids.
--
-- Returns the last and the first entry of the stream and its length, the
-- epoch, Redis' time in ms, the next cursor, ids and values in turn, and how
-- many clients there are.  What is longer than any id or value may be is cut,
-- and is wrong all the same.

local last, first, length = '0-0', '0-0', redis.call('XLEN', KEYS[2])

if redis.call('EXISTS', KEYS[2]) == 1 then
  local info = redis.call('XINFO', 'STREAM', KEYS[2])
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then last = info[i + 1] end
    if info[i] == 'first-entry' and info[i + 1] then
      first = info[i + 1][1]
    end
  end
end

local time = redis.call('TIME')
local now = time[1] .. string.format('%03d', math.floor(time[2] / 1000))
local cursor, items, clients = '0', {}, 0

if ARGV[1] == 'scan' or #ARGV > 1 then
  clients = redis.call('HLEN', KEYS[1])
end

if ARGV[1] == 'scan' then
  local page = redis.call('HSCAN', KEYS[1], ARGV[2], 'COUNT', ARGV[3])
  cursor, items = page[1], page[2]
  for i = 1, #items do
    if #items[i] > 1024 then items[i] = items[i]:sub(1, 1024) end
  end
elseif #ARGV > 1 then
  local values = redis.call('HMGET', KEYS[1], unpack(ARGV, 2))
  for i = 1, #values do
    local v = values[i]
    items[2 * i - 1], items[2 * i] = ARGV[i + 1], v and v:sub(1, 1024)
  end
end

return {last, first, length, redis.call('GET', KEYS[3]) or '', now, cursor,
        items, clients}
