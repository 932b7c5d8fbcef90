-- Makes a BatchJob of the same requests, which is paid for anew. It has the time in its name and in that of its results, so
-- that neither the first job nor what it stored is touched; what is in Git stays as it is.
--
-- Argo CD gives an action no string library: names are put together, never taken apart.
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

-- By these a tool knows what it has applied. They stay with the first job: else that tool would take the new one for its own
-- and prune it.
local tools = {
  ["app.kubernetes.io/instance"] = true,
  ["app.kubernetes.io/managed-by"] = true,
  ["applyset.kubernetes.io/part-of"] = true,
  ["argocd.argoproj.io/instance"] = true,
  ["helm.toolkit.fluxcd.io/name"] = true,
  ["helm.toolkit.fluxcd.io/namespace"] = true,
  ["kapp.k14s.io/app"] = true,
  ["kapp.k14s.io/association"] = true,
  ["kustomize.toolkit.fluxcd.io/name"] = true,
  ["kustomize.toolkit.fluxcd.io/namespace"] = true,
  ["objectset.rio.cattle.io/hash"] = true,
}

local job = {apiVersion = obj.apiVersion, kind = obj.kind, metadata = {}, spec = copy(obj.spec)}
job.metadata.name = obj.metadata.name .. "-" .. stamp
job.metadata.namespace = obj.metadata.namespace
job.metadata.annotations = {["llmbatch.io/resubmitted-from"] = obj.metadata.name}
if obj.metadata.labels ~= nil then
  for name, value in pairs(obj.metadata.labels) do
    if not tools[name] then
      job.metadata.labels = job.metadata.labels or {}
      job.metadata.labels[name] = value
    end
  end
end

local output = job.spec.output
if output.secret ~= nil then
  output.secret.name = output.secret.name .. "-" .. stamp
elseif output.configMap ~= nil then
  output.configMap.name = output.configMap.name .. "-" .. stamp
elseif output.persistentVolumeClaim ~= nil then
  output.persistentVolumeClaim.path = job.metadata.name .. "/" .. output.persistentVolumeClaim.path
end

return {{operation = "create", resource = job}}
