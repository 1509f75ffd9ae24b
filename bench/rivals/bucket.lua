-- A token bucket for each client address in a shared dictionary, as nginx's Lua
-- module is used for it: what is left and when are one value, and two workers
-- that meet may both take the same token.

local CAPACITY = 1000000
local RATE = 100000

local buckets = ngx.shared.buckets
local key = ngx.var.binary_remote_addr
local now = ngx.now()
local value = buckets:get(key)
local tokens = CAPACITY

if value then
    local space = string.find(value, " ", 1, true)
    local age = now - tonumber(string.sub(value, space + 1))

    tokens = tonumber(string.sub(value, 1, space - 1))
    tokens = math.min(CAPACITY, tokens + math.max(0, age) * RATE)
end

if tokens < 1 then
    return ngx.exit(429)
end

buckets:set(key, string.format("%.3f %.3f", tokens - 1, now))
