# Signet key custodian: create and change keysets and wrap new keys, without the power to unwrap any.
path "secret/data/signet/keysets/*" {
  capabilities = ["create", "read", "update"]
}
path "secret/metadata/signet/keysets/*" {
  capabilities = ["list"]
}
# "update" without "create": encrypting with a Transit key that does not exist must not make one.
path "transit/encrypt/signet" {
  capabilities = ["update"]
}
# After the Transit key was rotated: rewrapping shows nobody what is inside.
path "transit/rewrap/signet" {
  capabilities = ["update"]
}
# To see that the key exists and is derived before anything is wrapped with it.
path "transit/keys/signet" {
  capabilities = ["read"]
}
