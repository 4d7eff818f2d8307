"""Records into requests, and responses into what an outcome keeps."""
