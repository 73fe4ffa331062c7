// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Glibc

exit(await Program(arguments: CommandLine.arguments).run())
