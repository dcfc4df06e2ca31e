# Signet codec server: read keysets, unwrap their keys, nothing else. It changes nothing in Vault.
path "secret/data/signet/keysets/*" {
  capabilities = ["read"]
}
path "transit/decrypt/signet" {
  capabilities = ["update"]
}
