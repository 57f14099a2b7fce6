"""Where backups lie: folders and buckets, behind one contract."""
