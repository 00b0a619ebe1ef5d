"""What only our daemon does: waking, sleeping, thousands of listeners, accept modes."""
