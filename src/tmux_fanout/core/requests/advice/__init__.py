"""What people write for JMESPath, recognised, with the line to write instead."""
