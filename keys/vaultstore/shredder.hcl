# Signet shredder: carry out the shredding that a custodian has scheduled: the document loses its keys, its earlier
# versions are destroyed, and the keyset's own Transit key is deleted. It unwraps no key; give it to few, for as long as
# it takes.
path "secret/data/signet/keysets/*" {
  capabilities = ["read", "update"]
}
path "secret/destroy/signet/keysets/*" {
  capabilities = ["update"]
}
