mkdir tree; cd tree; mkdir sub; echo n > one; ln one two; ln one sub/three; ln sub/three sub/four
