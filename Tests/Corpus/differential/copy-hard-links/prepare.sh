ln tree/one tree/two
