"""The physical path: the whole cluster and its write-ahead log in a store, restored to any point in time.

`engine` is the port, `pgbackrest` what stands behind it today. The logical path (`pg_dump`) does not need any of it.
"""
