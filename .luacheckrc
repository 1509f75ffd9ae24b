-- What a script of src/redis finds in Redis.
std = 'lua51'
read_globals = { 'redis', 'KEYS', 'ARGV', 'cjson', 'struct' }
max_line_length = 80
