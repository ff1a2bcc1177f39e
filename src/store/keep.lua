-- Writes an entry, unless a newer one is there or the entry was purged since its response was
-- requested.
--
-- KEYS  the entry, and its epochs
-- ARGV  1  the new entry
--       2  the version of its content, decimal digits
--       3  the epochs that it was made in, as `admit.lua` told them
--       4  its life, ms
-- Reply 1 written, 0 a newer one is there, -1 it was purged
--
-- An entry begins "2 fresh_until usable_until stamp version epochs ". Versions have any number of
-- digits and no leading zeros, so the longer one is newer, and of two equally long ones the one
-- that sorts later is newer. A repeat of the call has the same effect as a single call, because its
-- own version is not newer than itself.
--
-- Commands that are billed: EVALSHA, MGET, SET.

local values = redis.call('MGET', unpack(KEYS))
local current = {}
for k = 2, #KEYS do
  local epoch = values[k]
  current[k - 1] = epoch and string.gsub(string.sub(epoch, 1, 64), '[^%w]', '.') or '-'
end
local epochs, mine = table.concat(current, ','), ARGV[2]
if epochs ~= ARGV[3] then return -1 end
local version, of = string.match(values[1] or '', '^2 %d+ %d+ %d+ (%d+) ([%w.,-]+) ')
if version and of == epochs and (#version > #mine or #version == #mine and version > mine) then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[4])
return 1
