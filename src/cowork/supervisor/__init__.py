"""Background sessions from the shell: started, watched, answered, ended; no daemon needed."""
