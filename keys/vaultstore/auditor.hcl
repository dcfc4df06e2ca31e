# Signet auditor: see keysets, the states of their keys and how they are wrapped, without the power to open or change any.
path "secret/data/signet/keysets/*" {
  capabilities = ["read"]
}
path "secret/metadata/signet/keysets/*" {
  capabilities = ["list", "read"]
}
path "transit/keys/signet" {
  capabilities = ["read"]
}
