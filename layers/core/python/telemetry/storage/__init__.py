"""Raw and canonical files behind one small protocol: object storage (S3) and a local path."""
