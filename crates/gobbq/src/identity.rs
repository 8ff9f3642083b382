//! The name of a cluster, kept in its control plane: who comes with another one is refused before it takes part, so
//! that it never owns a slot or is sent an entity.

use bbq_rt::control::{ControlError, ControlPlane, Guard, Op};

/// Where the name is.
const KEY: &str = "gobbq/cluster";

/// The name of the cluster that `control` belongs to; the first who asks gives it `wish`.
pub(crate) async fn cluster_name(control: &dyn ControlPlane, wish: &str) -> Result<String, ControlError> {
    loop {
        if let Some(name) = control.get(KEY.to_owned()).await? {
            return Ok(String::from_utf8_lossy(&name.value).into_owned());
        }
        // Somebody may have been faster; the next look tells.
        control.txn(vec![Guard::Absent(KEY.to_owned())], vec![Op::put(KEY, wish.to_owned())]).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bbq_rt::control::{Config, LocalControl};

    #[tokio::test]
    async fn the_first_names_the_cluster_and_the_others_learn_the_name() {
        let control = LocalControl::volatile(Config::default());
        let (one, two) = tokio::join!(cluster_name(&control, "ours"), cluster_name(&control, "theirs"));
        assert_eq!(one, two);
        assert_eq!(cluster_name(&control, "other").await, one);
    }
}
