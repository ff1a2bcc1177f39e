-- One request, one round trip: are its limits met (all or nothing), what does the cache hold, and,
-- if the entry is missing or stale, is this caller the one to refresh it.
--
-- KEYS  n limit states, then, when the cache is asked too: the entry, the refresh lease
-- ARGV  1  the caller's clock, Unix ms
--       2  n, the number of limits
--       3  tolerance between two clocks, ms
--       4  length of a refresh lease, ms; 0: this caller cannot refresh
--       5  1: also tell how far the caller's clock is off (costs one TIME)
--       then for each limit: quota, cost, width of a sub-bucket in ms, sub-buckets in a window,
--       1 to enforce or 0 to report only ("shadow")
-- Reply { admitted, offset of the caller's clock in ms or false,
--         per limit: met, remaining, ms until the same request passes, ms until more permits are back,
--         then, when the cache is asked: the entry or false, 1 if the caller holds the refresh lease }
--
-- The state of a limit is one string, "1 seen width base c0 c1 …": the schema, the newest time seen,
-- the width of a sub-bucket, and the counts of the sub-buckets from number `base` on.
-- A request at time t falls in sub-bucket i = floor(t / width). It is admitted when all that was
-- counted in sub-buckets i - k and later, with its own cost, is at most the quota; k * width is at
-- least the window, so no window ever holds more. `engine/limit/sliding_window.rs` is the same in Rust.
--
-- Commands, as they are billed: EVALSHA, MGET, one SET for each limit charged, one for a lease taken.

local floor, max = math.floor, math.max
local mine, n, tolerance = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local LARGEST = 9007199254740991

local real
local function server_time()
  if not real then
    local t = redis.call('TIME')
    real = tonumber(t[1]) * 1000 + floor(tonumber(t[2]) / 1000)
  end
  return real
end

-- What is not a state of ours is no state: nil.
local function parse(text, width, buckets)
  local seen, w, base, list = string.match(text or '', '^1 (%d+) (%d+) (%d+) ([ %d]+)$')
  seen, w, base = tonumber(seen), tonumber(w), tonumber(base)
  if not seen or seen > LARGEST or w < 1 or w > LARGEST then return nil end
  local counts, m, total = {}, 0, 0
  for c in string.gmatch(list, '%d+') do
    m = m + 1
    counts[m] = tonumber(c)
    total = total + counts[m]
  end
  if m == 0 or m > 1000 or total > LARGEST or base > LARGEST / w then return nil end
  local cut_anew = w ~= width
  if cut_anew then
    -- The window was configured anew: what was counted counts as if it had come at the last moment.
    base, counts, m = floor(max(seen, (base + m - 1) * w) / width), { total }, 1
  end
  if base + m - 1 > floor(seen / width) + buckets + 1 then return nil end
  return { seen = seen, base = base, counts = counts, m = m, cut_anew = cut_anew }
end

local values = redis.call('MGET', unpack(KEYS))
local limits = {}
for j = 1, n do
  local a = 5 + (j - 1) * 5
  local limit = {
    quota = tonumber(ARGV[a + 1]), cost = tonumber(ARGV[a + 2]),
    width = tonumber(ARGV[a + 3]), buckets = tonumber(ARGV[a + 4]), enforced = ARGV[a + 5] == '1',
  }
  limit.state = parse(values[j], limit.width, limit.buckets)
  limits[j] = limit
end

-- The instant from which on nothing of a limit's state is counted.
local function ends(limit)
  local s = limit.state
  return (s.base + s.m + limit.buckets) * limit.width
end

-- The clock. A caller a little behind the newest time seen is served at that time. Where the two
-- are further apart, or a state is there that would have expired, Redis says who is wrong.
local offset = ARGV[5] == '1' and server_time() - mine or false
for j = 1, n do
  local limit = limits[j]
  local s = limit.state
  if s and (s.seen > mine + tolerance or ends(limit) + 2 * tolerance < mine) then
    offset = server_time() - mine
  end
end
if offset and math.abs(offset) > tolerance then mine = real end
local now = mine
for j = 1, n do
  local limit = limits[j]
  local s = limit.state
  local ahead = s and s.seen > mine + tolerance
  -- Redis would have expired it long ago, had it been written by a right clock.
  local behind = s and real and not s.cut_anew and ends(limit) + 2 * tolerance < real
  if ahead or behind then
    -- It was written by a wrong clock: what it counted at impossible times, counts as now.
    local i = floor(mine / limit.width)
    local base = behind and i or math.min(max(s.base, i - limit.buckets), i)
    local kept, misplaced = {}, 0
    for k = 1, s.m do
      local at = s.base + k - 1
      if behind or at >= i then
        misplaced = misplaced + s.counts[k]
      elseif at >= base then
        kept[at - base + 1] = s.counts[k]
      end
    end
    for k = #kept + 1, i - base do kept[k] = 0 end
    s.base, s.m, s.counts, s.seen = base, i - base + 1, kept, mine
    kept[s.m] = misplaced
  elseif s and s.seen > now then
    now = s.seen
  end
end

-- From which instant on at most `target` is counted, in ms from the caller's now.
local function until_used(limit, target)
  local s, used = limit.state, limit.used
  if not s or used <= target then return 0 end
  for k = 1, s.m do
    used = used - s.counts[k]
    if used <= target then
      return max((s.base + k + limit.buckets) * limit.width - mine, 0)
    end
  end
  return 0
end

local admitted = true
for j = 1, n do
  local limit = limits[j]
  local s = limit.state
  limit.i = floor(now / limit.width)
  limit.used = 0
  if s then
    -- Forget what has left the window.
    local gone = max(limit.i - limit.buckets - s.base, 0)
    while gone < s.m and s.counts[gone + 1] == 0 do gone = gone + 1 end
    local counts = {}
    for k = gone + 1, s.m do
      counts[k - gone] = s.counts[k]
      limit.used = limit.used + s.counts[k]
    end
    s.base, s.m, s.counts = s.base + gone, max(s.m - gone, 0), counts
    if s.m == 0 then limit.state = nil end
  end
  limit.met = limit.used + limit.cost <= limit.quota
  if limit.enforced and not limit.met then admitted = false end
end

local reply = { admitted and 1 or 0, offset }
for j = 1, n do
  local limit = limits[j]
  local wait = limit.met and 0 or until_used(limit, limit.quota - limit.cost)
  if admitted and limit.met then
    local s = limit.state or { seen = now, base = limit.i, counts = {}, m = 0 }
    for _ = limit.i, s.base - 1 do table.insert(s.counts, 1, 0) end
    s.base, s.m = math.min(s.base, limit.i), #s.counts
    local at = limit.i - s.base + 1
    for k = s.m + 1, at do s.counts[k] = 0 end
    s.m = max(s.m, at)
    s.counts[at] = s.counts[at] + limit.cost
    s.seen = max(s.seen, now)
    limit.state, limit.used = s, limit.used + limit.cost
    redis.call('SET', KEYS[j],
      string.format('1 %.0f %.0f %.0f ', s.seen, limit.width, s.base) .. table.concat(s.counts, ' '),
      'PX', string.format('%.0f', ends(limit) - now + tolerance))
  end
  local remaining = max(limit.quota - limit.used, 0)
  local target = remaining >= limit.cost and limit.used - 1 or limit.quota - limit.cost
  reply[#reply + 1] = limit.met and 1 or 0
  reply[#reply + 1] = remaining
  reply[#reply + 1] = wait
  reply[#reply + 1] = limit.used > 0 and until_used(limit, target) or 0
end

if #KEYS > n then
  -- A lease names the instant at which it was taken. One taken before the entry went stale was for
  -- an earlier refresh, and done with: nobody needs to delete it.
  local entry, held, lease = values[n + 1], tonumber(values[n + 2] or nil), 0
  local fresh_until = tonumber(string.match(entry or '', '^1 (%d+) ')) or 0
  if admitted and ARGV[4] ~= '0' and fresh_until <= mine and not (held and held >= fresh_until) then
    redis.call('SET', KEYS[n + 2], string.format('%.0f', mine), 'PX', ARGV[4])
    lease = 1
  end
  reply[#reply + 1] = admitted and entry or false
  reply[#reply + 1] = lease
end
return reply
