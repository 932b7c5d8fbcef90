-- Makes a BatchJob of the same requests, which is paid for anew. It has the time in its name and in that of its results, so
-- that neither the first job nor what it stored is touched; what is in Git stays as it is.
local os = require("os")

local stamp = os.date("!%y%m%d%H%M%S")

-- An empty table would come back as an empty list, where the API wants an object: what is empty is left out.
local function copy(value)
  if type(value) ~= "table" then
    return value
  end
  if next(value) == nil then
    return nil
  end
  local made = {}
  for key, item in pairs(value) do
    made[key] = copy(item)
  end
  return made
end

-- Cut to what a name may have, and not where it would end in a dash or a dot.
local function stamped(name, longest)
  return (string.gsub(string.sub(name, 1, longest - 13), "[^%w]+$", "")) .. "-" .. stamp
end

local job = {apiVersion = obj.apiVersion, kind = obj.kind, metadata = {}, spec = copy(obj.spec)}
job.metadata.name = stamped(obj.metadata.name, 63)
job.metadata.namespace = obj.metadata.namespace
job.metadata.annotations = {["llmbatch.io/resubmitted-from"] = obj.metadata.name}

-- The labels that people sort their jobs by; those by which a tool knows what it has applied stay with the first job, else
-- that tool would take the new one for its own and prune it.
if obj.metadata.labels ~= nil then
  for name, value in pairs(obj.metadata.labels) do
    local ours = string.find(name, "argocd.argoproj.io/", 1, true) == nil
      and string.find(name, "toolkit.fluxcd.io/", 1, true) == nil
      and name ~= "app.kubernetes.io/instance"
    if ours then
      job.metadata.labels = job.metadata.labels or {}
      job.metadata.labels[name] = value
    end
  end
end

local output = job.spec.output
if output.secret ~= nil then
  output.secret.name = stamped(output.secret.name, 253)
elseif output.configMap ~= nil then
  output.configMap.name = stamped(output.configMap.name, 253)
elseif output.persistentVolumeClaim ~= nil then
  -- The file's name has to leave room for .errors.jsonl behind it.
  local folder, name = string.match(output.persistentVolumeClaim.path, "^(.-)([^/]*)$")
  local stem, ending = string.match(name, "^(.*)(%.jsonl)$")
  output.persistentVolumeClaim.path = folder .. string.sub(stem or name, 1, 228) .. "-" .. stamp .. (ending or "")
end

return {{operation = "create", resource = job}}
