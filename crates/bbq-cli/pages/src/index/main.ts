/** The start page: only says whether the gate answers. */

import { Badge, connect } from "../shared/connection.js";

connect({ setup: () => undefined, online: () => undefined }, new Badge());
