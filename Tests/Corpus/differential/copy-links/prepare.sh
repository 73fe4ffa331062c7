ln -s target tree/relative
ln -s /etc/passwd tree/absolute
ln -s nowhere tree/dangling
ln -s d tree/directory
