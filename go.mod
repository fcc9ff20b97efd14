module hwledger

go 1.26.8
