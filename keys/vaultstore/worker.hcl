# Signet worker: read keysets, unwrap their keys, nothing else.
path "secret/data/signet/keysets/*" {
  capabilities = ["read"]
}
path "transit/decrypt/signet" {
  capabilities = ["update"]
}
