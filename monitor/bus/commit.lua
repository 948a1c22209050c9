-- One commit of one role: checkpoint + outputs + acknowledgements, all or nothing.
--
-- KEYS[1]   the role's hash: epoch, position, prev
-- KEYS[2…]  the keys that outputs, sets and acknowledgements name by number
-- ARGV      epoch, prev, new,
--           number of outputs, then for each: key number, id, number of fields, field, value, …
--           number of sets,    then for each: key number, field ("" for a string key), value
--           number of acks,    then for each: key number, group, id
--
-- Returns {"OK"}, {"APPLIED"} (this very commit was applied before: its reply was lost), {"FENCED", epoch now} or
-- {"ORDER", position now, what}. Redis does not roll back, so everything is looked at before the first write.

local role = KEYS[1]
local epoch, prev, new = ARGV[1], ARGV[2], ARGV[3]

local stored = redis.call('HMGET', role, 'epoch', 'position', 'prev')
local position = stored[2] or '0-0'
if stored[1] ~= epoch then
  return {'FENCED', stored[1] or '0'}
end
if position == new and stored[3] == prev then
  return {'APPLIED'}
end

-- Ids are <integer>-<integer>, both far below 2^53, so that Lua's numbers hold them exactly.
local function parts(id)
  local whole, rest = string.match(id, '^(%d+)%-(%d+)$')
  return tonumber(whole), tonumber(rest)
end
local function after(id, other)
  local a, b = parts(id)
  local c, d = parts(other)
  return a ~= nil and c ~= nil and (a > c or (a == c and b > d))
end

if position ~= prev then
  return {'ORDER', position, 'checkpoint'}
end
if not after(new, prev) then
  return {'ORDER', position, 'new position ' .. new}
end

local at = 4
local function take()
  local value = ARGV[at]
  if value == nil then
    error('commit: too few arguments')
  end
  at = at + 1
  return value
end
local function key_of(number)
  local key = KEYS[tonumber(number)]
  if key == nil then
    error('commit: no key ' .. number)
  end
  return key
end
local function check_type(key, wanted)
  local kind = redis.call('TYPE', key).ok
  if kind ~= 'none' and kind ~= wanted then
    error('commit: ' .. key .. ' is a ' .. kind .. ', not a ' .. wanted)
  end
  return kind
end

local outputs, last = {}, {}
for n = 1, tonumber(take()) do
  local key, id = key_of(take()), take()
  local entry = {'XADD', key, id}
  for _ = 1, 2 * tonumber(take()) do
    entry[#entry + 1] = take()
  end
  if #entry < 5 then
    error('commit: an entry of ' .. key .. ' has no field')
  end
  if last[key] == nil then
    last[key] = '0-0'
    if check_type(key, 'stream') == 'stream' then
      local info = redis.call('XINFO', 'STREAM', key)
      for i = 1, #info, 2 do
        if info[i] == 'last-generated-id' then
          last[key] = info[i + 1]
        end
      end
    end
  end
  if not after(id, last[key]) then
    return {'ORDER', position, 'entry ' .. id .. ' of ' .. key .. ' after ' .. last[key]}
  end
  last[key] = id
  outputs[n] = entry
end

local sets = {}
for n = 1, tonumber(take()) do
  local key, field, value = key_of(take()), take(), take()
  check_type(key, field == '' and 'string' or 'hash')
  sets[n] = field == '' and {'SET', key, value} or {'HSET', key, field, value}
end

local acks = {}
for n = 1, tonumber(take()) do
  local key, group, id = key_of(take()), take(), take()
  check_type(key, 'stream')
  acks[n] = {'XACK', key, group, id}
end
if at ~= #ARGV + 1 then
  error('commit: too many arguments')
end

for _, entry in ipairs(outputs) do
  redis.call(unpack(entry))
end
for _, entry in ipairs(sets) do
  redis.call(unpack(entry))
end
for _, entry in ipairs(acks) do
  redis.call(unpack(entry))
end
redis.call('HSET', role, 'position', new, 'prev', prev)
return {'OK'}
